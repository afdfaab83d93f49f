using System;
using Microsoft.ML.OnnxRuntimeGenAI;
using YoutuOnnx.Text;

namespace YoutuOnnx.Genai
{
    /// <summary>A chat in the console, on onnxruntime-genai.</summary>
    public static class Program
    {
        private const string Usage = "youtu-genai BUNDLE [--provider cpu|cuda|dml|WebGPU] [--temperature T] [--system TEXT] "
            + "[--max-tokens N] [--no-thinking]";

        public static int Main(string[] arguments)
        {
            try
            {
                using (new OgaHandle())  // lets the library go when everything of it is gone
                {
                    return ChatConsole.Run(arguments, Usage, true, false,
                                           options => new GenaiChat(options.Folder, options.Provider, options.Temperature));
                }
            }
            catch (DllNotFoundException)
            {
                return 1;  // was said already: here it is the handle that finds no library to let go
            }
        }
    }
}
