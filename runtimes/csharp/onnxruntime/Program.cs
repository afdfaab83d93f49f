using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using Microsoft.ML.OnnxRuntime;
using YoutuOnnx.Text;

namespace YoutuOnnx.Ort
{
    /// <summary>A chat in the console, on plain ONNX Runtime.</summary>
    public static class Program
    {
        private const string Usage = "usage: youtu-ort BUNDLE [--provider cpu|cuda|dml] [--system TEXT] [--max-tokens N] [--no-thinking]";

        public static int Main(string[] arguments)
        {
            string folder = null, provider = null, system = null;
            int maxTokens = 512;
            bool thinking = true;
            try
            {
                for (int at = 0; at < arguments.Length; at++)
                {
                    switch (arguments[at])
                    {
                        case "--provider": provider = arguments[++at]; break;
                        case "--system": system = arguments[++at]; break;
                        case "--max-tokens": maxTokens = int.Parse(arguments[++at]); break;
                        case "--no-thinking": thinking = false; break;
                        default:
                            if (folder != null || arguments[at].StartsWith("-", StringComparison.Ordinal))
                            {
                                throw new FormatException(arguments[at]);
                            }
                            folder = arguments[at];
                            break;
                    }
                }
            }
            catch (Exception error) when (error is FormatException || error is IndexOutOfRangeException || error is OverflowException)
            {
                folder = null;
            }
            if (folder == null || maxTokens < 1)
            {
                Console.Error.WriteLine(Usage);
                return 2;
            }
            var utf8 = new UTF8Encoding(false);
            Console.InputEncoding = utf8;
            Console.OutputEncoding = utf8;
            try
            {
                using (var chat = new OrtChat(folder, provider))
                {
                    Talk(chat, system, thinking, maxTokens);
                }
                return 0;
            }
            catch (Exception error) when (error is OnnxRuntimeException || error is IOException || error is InvalidDataException
                                          || error is ArgumentException || error is DllNotFoundException)
            {
                Console.Error.WriteLine("error: " + error.Message);
                return 1;
            }
        }

        private static void Talk(OrtChat chat, string system, bool thinking, int maxTokens)
        {
            var messages = new List<Message>();
            if (system != null)
            {
                messages.Add(new Message("system", system));
            }
            string line;
            Console.Write("> ");
            while ((line = Console.ReadLine()) != null && line != "/exit")
            {
                if (line == "/reset")
                {
                    messages.RemoveAll(message => message.Role != "system");
                }
                else if (line.Trim() != "")
                {
                    messages.Add(new Message("user", line));
                    messages.Add(new Message("assistant", chat.Reply(messages, thinking, maxTokens, Console.Write)));
                    Console.WriteLine();
                }
                Console.Write("> ");
            }
        }
    }
}
