using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Text;

namespace YoutuOnnx.Text
{
    /// <summary>A bundle opened in some runtime.</summary>
    public interface IChat : IDisposable
    {
        /// <summary>The reply to a conversation. What it has in common with the one before is not computed again.</summary>
        /// <param name="write">Takes the reply's pieces as they come.</param>
        string Reply(IList<Message> messages, bool thinking, int maxTokens, Action<string> write);
    }

    /// <summary>What the command line says.</summary>
    public sealed class ChatOptions
    {
        public string Folder, Provider, System;
        /// <summary>The library of native kernels; null for the runtime's own.</summary>
        public string Kernels;
        public int MaxTokens = 512;
        /// <summary>0 takes the likeliest token, always.</summary>
        public double Temperature;
        public bool Thinking = true;

        /// <param name="samples">Whether there is a temperature.</param>
        /// <param name="registers">Whether there are kernels to register.</param>
        /// <exception cref="FormatException">It says something else.</exception>
        public static ChatOptions Parse(string[] arguments, bool samples, bool registers)
        {
            var options = new ChatOptions();
            var left = new Queue<string>(arguments);
            while (left.Count > 0)
            {
                string name = left.Dequeue();
                if (name == "--no-thinking")
                {
                    options.Thinking = false;
                }
                else if (!name.StartsWith("-", StringComparison.Ordinal) && options.Folder == null)
                {
                    options.Folder = name;
                }
                else if (left.Count > 0)
                {
                    options.Set(name, left.Dequeue(), samples, registers);
                }
                else
                {
                    throw new FormatException(name + " is not understood");
                }
            }
            if (options.Folder == null)
            {
                throw new FormatException("no BUNDLE is named");
            }
            return options;
        }

        private void Set(string name, string value, bool samples, bool registers)
        {
            bool valid = true;
            if (name == "--provider")
            {
                Provider = value;
            }
            else if (name == "--system")
            {
                System = value;
            }
            else if (name == "--kernels" && registers)
            {
                Kernels = value;
            }
            else if (name == "--max-tokens")
            {
                valid = int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out MaxTokens) && MaxTokens > 0;
            }
            else
            {
                valid = name == "--temperature" && samples && Temperature >= 0
                    && double.TryParse(value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out Temperature);
            }
            if (!valid)
            {
                throw new FormatException(name + " " + value + " is not understood");
            }
        }
    }

    /// <summary>A chat on standard input and output, one message a line.</summary>
    public static class ChatConsole
    {
        /// <summary>Talks until the input ends or says /exit. Returns the exit code: 2 for a wrong call.</summary>
        /// <param name="samples">Whether the runtime takes a temperature.</param>
        /// <param name="registers">Whether it takes native kernels by the path of their library.</param>
        public static int Run(string[] arguments, string usage, bool samples, bool registers, Func<ChatOptions, IChat> open)
        {
            var utf8 = new UTF8Encoding(false);
            Console.InputEncoding = utf8;
            Console.OutputEncoding = utf8;
            try
            {
                ChatOptions options = ChatOptions.Parse(arguments, samples, registers);
                using (IChat chat = open(options))
                {
                    Talk(chat, options);
                }
                return 0;
            }
            catch (FormatException error)
            {
                Console.Error.WriteLine(error.Message + "\nusage: " + usage);
                return 2;
            }
            catch (KeyNotFoundException)
            {
                Console.Error.WriteLine("error: a file of the bundle lacks a field; export it again");
                return 1;
            }
            catch (Exception error) when (!(error is NullReferenceException))
            {
                // a library that isn't found comes wrapped in the failure of a class to start
                Console.Error.WriteLine("error: " + error.GetBaseException().Message);
                return 1;
            }
        }

        private static void Talk(IChat chat, ChatOptions options)
        {
            var conversation = new Conversation(options);
            string line;
            Console.Write("> ");
            while (!conversation.Left && (line = Console.ReadLine()) != null)
            {
                try
                {
                    string ask = line.Trim();
                    if (Conversation.IsCommand(ask))
                    {
                        string said = conversation.Obey(ask, out ask);
                        Console.Error.Write(said == "" ? "" : said + "\n");
                    }
                    if (!string.IsNullOrEmpty(ask))
                    {
                        Answer(chat, options, conversation, ask);
                    }
                }
                catch (CommandException error)
                {
                    Console.Error.WriteLine("error: " + error.Message);
                }
                Console.Write(conversation.Left ? "" : "> ");
            }
        }

        private static void Answer(IChat chat, ChatOptions options, Conversation conversation, string question)
        {
            List<Message> messages = conversation.Messages;
            messages.Add(new Message("user", question));
            Stopwatch watch = Stopwatch.StartNew();
            int pieces = 0;
            string reply = chat.Reply(
                messages,
                options.Thinking,
                options.MaxTokens,
                text =>
                {
                    pieces++;
                    Console.Write(text);
                });
            Console.WriteLine();
            conversation.Add(question, reply);
            conversation.Stats = "last answer  " + pieces + " pieces of text in "
                + watch.Elapsed.TotalSeconds.ToString("0.00", CultureInfo.InvariantCulture) + " s";
        }
    }
}
