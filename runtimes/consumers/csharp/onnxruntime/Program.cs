using YoutuOnnx.Text;

namespace YoutuOnnx.Ort
{
    /// <summary>A chat in the console, on plain ONNX Runtime.</summary>
    public static class Program
    {
        private const string Usage = "youtu-ort BUNDLE [--provider cpu|cuda|dml] [--system TEXT] [--max-tokens N]"
            + " [--no-thinking] [--kernels LIBRARY]";

        public static int Main(string[] arguments)
        {
            return ChatConsole.Run(arguments, Usage, false, true,
                options => new OrtChat(options.Folder, options.Provider, options.Kernels));
        }
    }
}
