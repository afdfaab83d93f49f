using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text;

namespace YoutuOnnx.Text
{
    /// <summary>What was typed can't be done; the message says why.</summary>
    public sealed class CommandException : Exception
    {
        public CommandException(string message)
            : base(message)
        {
        }
    }

    /// <summary>A conversation, and what begins with a slash: the commands of youtu-onnx chat.</summary>
    public sealed class Conversation
    {
        private static readonly string[] Roles = { "system", "user", "assistant" };

        /// <summary>Name, arguments, meaning.</summary>
        public static readonly string[][] Commands =
        {
            new[] { "/help", "", "this list" },
            new[] { "/reset", "", "forget the conversation and start anew" },
            new[] { "/retry", "", "answer the last question again" },
            new[] { "/edit", "TEXT", "ask something else in place of the last question" },
            new[] { "/system", "[TEXT]", "show the system message, or set it; - takes it away" },
            new[] { "/set", "[NAME VALUE]", "show settings, or set one: max_tokens, thinking" },
            new[] { "/save", "FILE", "write the conversation as JSON" },
            new[] { "/load", "FILE", "go on with a conversation that was written as JSON" },
            new[] { "/stats", "", "how long the last answer took" },
            new[] { "/exit", "", "leave" },
        };

        private readonly ChatOptions options;
        private List<Message> turns = new List<Message>();

        public Conversation(ChatOptions options)
        {
            this.options = options;
        }

        /// <summary>What /stats says.</summary>
        public string Stats { get; set; } = "nothing was answered yet";

        /// <summary>Whether /exit was said.</summary>
        public bool Left { get; private set; }

        /// <summary>Questions and answers, after the system message where there is one.</summary>
        public List<Message> Messages
        {
            get
            {
                var all = new List<Message>(turns);
                if (options.System != null)
                {
                    all.Insert(0, new Message("system", options.System));
                }
                return all;
            }
        }

        /// <summary>Whether a line is a command, or a word alone that looks like one.</summary>
        public static bool IsCommand(string line)
        {
            string[] words = line.Split(' ');
            return Known(words[0]) != null || (words.Length == 1 && line.StartsWith("/", StringComparison.Ordinal));
        }

        public void Add(string question, string answer)
        {
            turns.Add(new Message("user", question));
            turns.Add(new Message("assistant", answer));
        }

        /// <summary>Do what a command says: what to tell the user, and through <paramref name="ask"/> what to ask the model then.</summary>
        /// <exception cref="CommandException">It can't be done.</exception>
        public string Obey(string line, out string ask)
        {
            ask = null;
            string name = line.Split(' ')[0], rest = line.Substring(name.Length).Trim();
            string[] known = Known(name);
            if (known == null)
            {
                throw new CommandException("no command " + name + "; /help lists them");
            }
            if (rest != "" && known[1] == "")
            {
                throw new CommandException(name + " stands alone");
            }
            if (rest == "" && known[1] != "" && known[1][0] != '[')
            {
                throw new CommandException(name + " needs " + known[1]);
            }
            switch (name)
            {
                case "/help":
                    return string.Join("\n", Commands.Select(one => (one[0] + " " + one[1]).PadRight(19) + " " + one[2]));
                case "/reset":
                    turns.Clear();
                    return "the conversation starts anew";
                case "/retry":
                    ask = TakeBack();
                    return "";
                case "/edit":
                    TakeBack();
                    ask = rest;
                    return "";
                case "/system":
                    options.System = rest == "-" ? null : rest == "" ? options.System : rest;
                    return options.System == null ? "there is no system message" : "system: " + options.System;
                case "/set":
                    return Set(rest);
                case "/save":
                    return Save(rest);
                case "/load":
                    return Load(rest);
                case "/stats":
                    return Stats;
                default:
                    Left = true;
                    return "";
            }
        }

        private static string[] Known(string name)
        {
            return Commands.FirstOrDefault(one => one[0] == name);
        }

        private string TakeBack()
        {
            int place = turns.FindLastIndex(message => message.Role == "user");
            if (place < 0)
            {
                throw new CommandException("nothing was asked yet");
            }
            string question = turns[place].Content;
            turns.RemoveRange(place, turns.Count - place);
            return question;
        }

        private string Set(string rest)
        {
            string[] words = rest.Split(new[] { ' ', '=' }, StringSplitOptions.RemoveEmptyEntries);
            if (words.Length == 1)
            {
                throw new CommandException("/set " + words[0] + " needs a value");
            }
            int most = options.MaxTokens;
            if (words.Length > 1 && words[0] == "thinking" && (words[1] == "on" || words[1] == "off"))
            {
                options.Thinking = words[1] == "on";
            }
            else if (words.Length > 1 && words[0] == "max_tokens"
                && int.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out most) && most > 0)
            {
                options.MaxTokens = most;
            }
            else if (words.Length > 1)
            {
                throw new CommandException(words[0] + " can't be " + words[1] + "; there is max_tokens NUMBER, thinking on or off");
            }
            return "max_tokens   " + options.MaxTokens + "\nthinking     " + (options.Thinking ? "on" : "off");
        }

        private string Save(string file)
        {
            if (File.Exists(file))
            {
                Read(file); // what is no conversation isn't replaced
            }
            var lines = Messages.Select(
                one => "  {\"role\": " + Json.Quoted(one.Role) + ", \"content\": " + Json.Quoted(one.Content) + "}");
            try
            {
                File.WriteAllText(file, "{\"messages\": [\n" + string.Join(",\n", lines) + "\n]}\n", new UTF8Encoding(false));
            }
            catch (Exception error) when (error is IOException || error is UnauthorizedAccessException)
            {
                throw new CommandException("can't write " + file + ": " + error.Message);
            }
            return "written to " + file;
        }

        private string Load(string file)
        {
            List<Message> found = Read(file);
            bool opens = found.Count > 0 && found[0].Role == "system";
            options.System = opens ? found[0].Content : null;
            turns = found.Skip(opens ? 1 : 0).ToList();
            return turns.Count + " messages; the conversation goes on";
        }

        private static List<Message> Read(string file)
        {
            try
            {
                var messages = (List<object>)Json.ReadFile(file)["messages"];
                var read = messages.Cast<Dictionary<string, object>>().Select(
                    one => new Message(
                        (string)one["role"], (string)one["content"], one.ContainsKey("reasoning_content") ? (string)one["reasoning_content"] : ""));
                List<Message> all = read.ToList();
                if (all.All(one => Roles.Contains(one.Role) && one.Content != null))
                {
                    return all;
                }
            }
            catch (Exception error) when (
                error is IOException || error is InvalidDataException || error is InvalidCastException
                || error is KeyNotFoundException || error is UnauthorizedAccessException)
            {
                throw new CommandException(file + " is no conversation: " + error.Message);
            }
            throw new CommandException(file + " is no conversation");
        }
    }
}
