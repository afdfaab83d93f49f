using System;
using System.Collections.Generic;
using System.IO;
using System.Text;

namespace YoutuOnnx.Text
{
    /// <summary>One message of a conversation.</summary>
    public sealed class Message
    {
        /// <summary>system, user or assistant.</summary>
        public readonly string Role;
        public readonly string Content;
        /// <summary>An assistant's thinking, where it isn't in the content.</summary>
        public readonly string Reasoning;

        public Message(string role, string content, string reasoning = "")
        {
            Role = role;
            Content = content;
            Reasoning = reasoning;
        }
    }

    /// <summary>A conversation as the model reads it: Youtu's chat format, without tools.</summary>
    /// <remarks>
    /// Only this class writes control tokens. What a message says is encoded as plain characters, so no text can forge a role;
    /// an assistant's own text may hold its thinking and its calls.
    /// </remarks>
    public sealed class ChatFormat
    {
        private static readonly string[] Own = { "<think>", "</think>", "<tool_call>", "</tool_call>" };

        private readonly BundleTokenizer tokenizer;
        private readonly string begin, end;

        public ChatFormat(string folder, BundleTokenizer tokenizer)
        {
            this.tokenizer = tokenizer;
            var config = Json.ReadFile(Path.Combine(folder, "tokenizer_config.json"));
            begin = Named(config, "bos_token");
            end = Named(config, "eos_token");
        }

        /// <summary>Token ids of a prompt.</summary>
        /// <param name="reply">Whether the assistant speaks next.</param>
        /// <param name="thinking">False tells the model to answer at once.</param>
        /// <param name="text">Where to write the prompt as text, if anywhere.</param>
        /// <exception cref="ArgumentException">An unknown role.</exception>
        public List<int> Prompt(IList<Message> messages, bool reply = true, bool thinking = true, StringBuilder text = null)
        {
            var prompt = new List<int>();
            text = text ?? new StringBuilder();
            Control(begin, prompt, text);
            Plain(SystemText(messages), prompt, text);
            int lastQuestion = -1;
            for (int index = 0; index < messages.Count; index++)
            {
                lastQuestion = messages[index].Role == "user" ? index : lastQuestion;
            }
            for (int index = 0; index < messages.Count; index++)
            {
                Message message = messages[index];
                if (message.Role == "user")
                {
                    Control("<|User|>", prompt, text);
                    Plain(message.Content, prompt, text);
                }
                else if (message.Role == "assistant")
                {
                    Control("<|Assistant|>", prompt, text);
                    string said = Said(message, index > lastQuestion);
                    prompt.AddRange(tokenizer.EncodeControl(said, Own));
                    text.Append(said);
                    Control(end, prompt, text);
                }
                else if (message.Role != "system")
                {
                    throw new ArgumentException("a message's role is " + message.Role + "; expected system, user or assistant");
                }
            }
            if (reply)
            {
                Control("<|Assistant|>" + (thinking ? "" : "<think>\n\n</think>\n\n"), prompt, text);
            }
            return prompt;
        }

        private static string SystemText(IList<Message> messages)
        {
            var text = new StringBuilder();
            foreach (Message message in messages)
            {
                if (message.Role == "system")
                {
                    text.Append(text.Length > 0 ? "\n\n" : "").Append(message.Content);
                }
            }
            return text.ToString();
        }

        /// <summary>An assistant's text. Thinking is kept only after the last question.</summary>
        private static string Said(Message message, bool withThinking)
        {
            string thinking = message.Reasoning ?? "", content = message.Content;
            int close = content.IndexOf("</think>", StringComparison.Ordinal);
            if (close >= 0)
            {
                string before = content.Substring(0, close);
                int open = before.LastIndexOf("<think>", StringComparison.Ordinal);
                thinking = before.Substring(open < 0 ? 0 : open + "<think>".Length).Trim('\n');
                content = content.Substring(content.LastIndexOf("</think>", StringComparison.Ordinal) + "</think>".Length);
                content = content.TrimStart('\n');
            }
            return (withThinking && thinking != "" ? "<think>\n" + thinking + "\n</think>\n\n" : "") + content;
        }

        private void Control(string literal, List<int> prompt, StringBuilder text)
        {
            prompt.AddRange(tokenizer.EncodeControl(literal));
            text.Append(literal);
        }

        private void Plain(string said, List<int> prompt, StringBuilder text)
        {
            prompt.AddRange(tokenizer.Encode(said));
            text.Append(said);
        }

        private static string Named(Dictionary<string, object> config, string name)
        {
            var token = config[name] as Dictionary<string, object>;  // a string, or an object with the string in it
            return (string)(token == null ? config[name] : token["content"]);
        }
    }
}
