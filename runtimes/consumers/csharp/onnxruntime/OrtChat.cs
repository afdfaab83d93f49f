using System;
using System.Collections.Generic;
using System.Text;
using YoutuOnnx.Text;

namespace YoutuOnnx.Ort
{
    /// <summary>A bundle opened in ONNX Runtime, and the tokens of one conversation in its cache.</summary>
    public sealed class OrtChat : IChat
    {
        private readonly OrtDecoder decoder;
        private readonly ChatFormat format;
        private readonly List<int> cached = new List<int>();

        /// <param name="kernels">As OrtDecoder takes it.</param>
        public OrtChat(string folder, string provider, string kernels = null)
        {
            Text = new BundleTokenizer(folder);
            format = new ChatFormat(folder, Text);
            decoder = new OrtDecoder(folder, provider, kernels);
        }

        public BundleTokenizer Text { get; private set; }

        public string Reply(IList<Message> messages, bool thinking, int maxTokens, Action<string> write)
        {
            var reply = new StringBuilder();
            var stream = new TextStream(Text);
            Generate(format.Prompt(messages, true, thinking), maxTokens, delegate(int token)
            {
                string piece = Text.IsSpecial(token) ? "" : stream.Push(token);
                reply.Append(piece);
                write(piece);
            });
            string rest = stream.Finish();
            write(rest);
            return reply.Append(rest).ToString();
        }

        /// <summary>The tokens that follow a prompt, each the likeliest, the end token last where it came.</summary>
        public List<int> Generate(List<int> prompt, int maxTokens, Action<int> push)
        {
            float[] logits = Logits(prompt);
            var tokens = new List<int>();
            while (true)
            {
                int token = Likeliest(logits);
                tokens.Add(token);
                push(token);
                if (tokens.Count >= maxTokens || decoder.Manifest.EndIds.Contains(token)
                    || decoder.Length >= decoder.Manifest.ContextLength)
                {
                    return tokens;
                }
                logits = Step(new List<int> { token });
            }
        }

        /// <summary>Logits of the token that follows a prompt.</summary>
        public float[] Logits(List<int> prompt)
        {
            int common = 0;
            // one token at least has to be fed, for logits to come
            while (common < Math.Min(cached.Count, prompt.Count - 1) && cached[common] == prompt[common])
            {
                common++;
            }
            decoder.Truncate(common);
            cached.RemoveRange(decoder.Length, cached.Count - decoder.Length);
            return Step(prompt.GetRange(cached.Count, prompt.Count - cached.Count));
        }

        public void Dispose()
        {
            decoder.Dispose();
        }

        private float[] Step(List<int> ids)
        {
            float[] logits = decoder.Run(ids);
            cached.AddRange(ids);
            return logits;
        }

        private static int Likeliest(float[] logits)
        {
            int best = 0;
            for (int index = 1; index < logits.Length; index++)
            {
                best = logits[index] > logits[best] ? index : best;
            }
            return best;
        }
    }
}
