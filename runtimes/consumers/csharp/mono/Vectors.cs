// Gives what a sample makes of tests/vectors/*.json, as JSON: mono vectors.exe VECTORS BUNDLE [logits [LIBRARY]]
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text;
using YoutuOnnx.Text;
#if GENAI
using Chat = YoutuOnnx.Genai.GenaiChat;
#else
using Chat = YoutuOnnx.Ort.OrtChat;
#endif

namespace YoutuOnnx.Mono
{
    public static class Vectors
    {
        public static int Main(string[] arguments)
        {
            var vectors = Json.ReadFile(arguments[0]);
            Console.OutputEncoding = new UTF8Encoding(false);
            var tokenizer = new BundleTokenizer(arguments[1]);
            var format = new ChatFormat(arguments[1], tokenizer);
            var lines = new List<string>();
            if (arguments.Length == 2)
            {
                lines.Add("\"texts\": " + Each(vectors, "texts", one =>
                    Text(one, tokenizer, tokenizer.Encode((string)one["text"]))));
                lines.Add("\"literals\": " + Each(vectors, "literals", one =>
                    Text(one, tokenizer, tokenizer.EncodeControl((string)one["text"]))));
                lines.Add("\"chats\": " + Each(vectors, "chats", one => Prompt(one, format)));
            }
#if GENAI
            using (var chat = new Chat(arguments[1], "cpu", 0))
#else
            using (var chat = new Chat(arguments[1], "cpu", arguments.Length > 3 ? arguments[3] : null))
#endif
            {
                if (arguments.Length == 2)
                {
                    lines.Add("\"greedy\": " + Each(vectors, "greedy", one => Numbers(
                        chat.Generate(Ids(one), ((List<object>)one["tokens"]).Count, delegate { }).Select(id => (double)id))));
                }
                lines.Add("\"logits\": " + Each(vectors, "greedy", one => Numbers(chat.Logits(Ids(one)).Select(x => (double)x))));
            }
            Console.WriteLine("{" + string.Join(",\n", lines) + "}");
            return 0;
        }

        private static string Text(Dictionary<string, object> one, BundleTokenizer tokenizer, List<int> ids)
        {
            var stream = new TextStream(tokenizer);
            string streamed = string.Concat(Ids(one).Select(stream.Push)) + stream.Finish();
            return "{\"ids\": " + Numbers(ids.Select(id => (double)id)) + ", \"decoded\": " + Quoted(tokenizer.Decode(Ids(one)))
                + ", \"streamed\": " + Quoted(streamed) + "}";
        }

        private static string Prompt(Dictionary<string, object> one, ChatFormat format)
        {
            var options = (Dictionary<string, object>)one["options"];
            if (options.ContainsKey("tools"))
            {
                return "null";
            }
            var messages = ((List<object>)one["messages"]).Cast<Dictionary<string, object>>().Select(message => new Message(
                (string)message["role"], (string)message["content"],
                message.ContainsKey("reasoning_content") ? (string)message["reasoning_content"] : "")).ToList();
            bool reply = !options.ContainsKey("add_generation_prompt") || Equals(options["add_generation_prompt"], true);
            bool thinking = !options.ContainsKey("enable_thinking") || Equals(options["enable_thinking"], true);
            var text = new StringBuilder();
            List<int> ids = format.Prompt(messages, reply, thinking, text);
            return "{\"prompt\": " + Quoted(text.ToString()) + ", \"ids\": " + Numbers(ids.Select(id => (double)id)) + "}";
        }

        private static string Each(Dictionary<string, object> vectors, string name,
                                   Func<Dictionary<string, object>, string> give)
        {
            var entries = ((List<object>)vectors[name]).Cast<Dictionary<string, object>>();
            return "[" + string.Join(",\n", entries.Select(give)) + "]";
        }

        private static List<int> Ids(Dictionary<string, object> one)
        {
            return ((List<object>)one["ids"]).Select(id => (int)(double)id).ToList();
        }

        private static string Numbers(IEnumerable<double> numbers)
        {
            return "[" + string.Join(", ", numbers.Select(number => number.ToString("G9", CultureInfo.InvariantCulture))) + "]";
        }

        private static string Quoted(string text)
        {
            return "\"" + string.Concat(text.Select(letter => "\\u" + ((int)letter).ToString("x4"))) + "\"";
        }
    }
}
