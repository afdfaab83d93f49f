using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using Microsoft.ML.OnnxRuntimeGenAI;
using YoutuOnnx.Text;

namespace YoutuOnnx.Genai
{
    /// <summary>A bundle opened in onnxruntime-genai, and the tokens of one conversation in its cache.</summary>
    /// <remarks>
    /// Text becomes ids in our own tokenizer. genai's fails on some characters ("substr: __pos"), ends a text at its first
    /// NUL, and reads a control token out of a user's "&lt;|Assistant|&gt;"; its TokenizerStream has none of these faults.
    /// </remarks>
    public sealed class GenaiChat : IChat
    {
        private readonly Model model;
        private readonly Tokenizer tokenizer;
        private readonly ChatFormat format;
        private readonly double temperature;
        private readonly int maxLength;
        private readonly bool continues;
        private readonly List<int> cached = new List<int>();  // the last generated token isn't: a step would compute its row
        private Generator generator;

        /// <param name="folder">The bundle's.</param>
        /// <param name="provider">A name of genai's, such as "cuda", or "cpu", which has none there; null for the bundle's own,
        /// which is the CPU unless it was exported for another.</param>
        /// <param name="temperature">0 takes the likeliest token, always.</param>
        public GenaiChat(string folder, string provider, double temperature)
        {
            this.temperature = temperature;
            Text = new BundleTokenizer(folder);
            format = new ChatFormat(folder, Text);
            string described = Path.Combine(folder, "genai_config.json");
            if (!File.Exists(described) && File.Exists(Path.Combine(folder, "youtu_onnx.json")))
            {
                throw new InvalidDataException("the bundle has no genai_config.json, as onnxruntime-genai can't hold its cache: "
                    + "export it with --cache latent, or masked for MicroReason, or take the program on plain ONNX Runtime");
            }
            var genai = Json.ReadFile(described);
            maxLength = (int)(double)((Dictionary<string, object>)genai["search"])["max_length"];
            var manifest = Json.ReadFile(Path.Combine(folder, "youtu_onnx.json"));
            object graph;  // format 1 has none, and names its target as the provider
            var own = manifest.TryGetValue("graph", out graph) ? ((Dictionary<string, object>)graph)["provider"] : manifest["target"];
            continues = provider != "dml" && !((string)own == "dml" && provider == null);
            using (var config = new Config(folder))
            {
                if (provider != null)
                {
                    config.ClearProviders();  // what is left is the CPU
                }
                if (provider != null && provider != "cpu")
                {
                    config.AppendProvider(provider);
                }
                model = new Model(config);
            }
            tokenizer = new Tokenizer(model);
        }

        public BundleTokenizer Text { get; private set; }

        public string Reply(IList<Message> messages, bool thinking, int maxTokens, Action<string> write)
        {
            var reply = new StringBuilder();
            using (TokenizerStream stream = tokenizer.CreateStream())
            {
                Generate(format.Prompt(messages, true, thinking), maxTokens, delegate(int token)
                {
                    string piece = stream.Decode(token);
                    reply.Append(piece);
                    write(piece);
                });
            }
            return reply.ToString();
        }

        /// <summary>The tokens that follow a prompt, the end token last where it came.</summary>
        public List<int> Generate(List<int> prompt, int maxTokens, Action<int> push)
        {
            Feed(prompt);
            var tokens = new List<int>();
            while (tokens.Count < maxTokens && cached.Count < maxLength)
            {
                if (tokens.Count > 0)
                {
                    cached.Add(tokens[tokens.Count - 1]);
                }
                generator.GenerateNextToken();
                int token = generator.GetNextTokens()[0];
                tokens.Add(token);
                push(token);
                if (generator.IsDone())
                {
                    break;
                }
            }
            return tokens;
        }

        /// <summary>Logits of the token that follows a prompt, where the graph's are float32.</summary>
        public float[] Logits(List<int> prompt)
        {
            Feed(prompt);
            using (Tensor logits = generator.GetOutput("logits"))
            {
                float[] rows = logits.GetData<float>().ToArray();
                int width = (int)logits.Shape()[logits.Shape().Length - 1];
                float[] last = new float[width];
                Array.Copy(rows, rows.Length - width, last, 0, width);
                return last;
            }
        }

        public void Dispose()
        {
            Forget();
            tokenizer.Dispose();
            model.Dispose();
        }

        private void Feed(List<int> prompt)
        {
            if (prompt.Count >= maxLength)
            {
                throw new InvalidDataException("the conversation has " + prompt.Count + " tokens and the bundle room for "
                    + maxLength + ": type /reset");
            }
            int common = 0;
            // one token at least has to be fed, for logits to come; and genai rewinds by one row at least
            while (common < Math.Min(cached.Count, prompt.Count) - 1 && cached[common] == prompt[common])
            {
                common++;
            }
            if (generator != null && continues && common > 0)
            {
                generator.RewindTo((ulong)common);
            }
            else
            {
                Forget();
                common = 0;
                generator = NewGenerator();
            }
            cached.RemoveRange(common, cached.Count - common);
            cached.AddRange(prompt.GetRange(common, prompt.Count - common));
            generator.AppendTokens(prompt.GetRange(common, prompt.Count - common).ToArray());
        }

        private Generator NewGenerator()
        {
            using (var options = new GeneratorParams(model))
            {
                options.SetSearchOption("max_length", maxLength);
                options.SetSearchOption("do_sample", temperature > 0);
                if (temperature > 0)
                {
                    options.SetSearchOption("temperature", temperature);
                    options.SetSearchOption("top_k", 20);  // as Youtu-LLM's generation_config.json has them
                    options.SetSearchOption("top_p", 0.95);
                }
                return new Generator(model, options);
            }
        }

        private void Forget()
        {
            if (generator != null)
            {
                generator.Dispose();
            }
            generator = null;
            cached.Clear();
        }
    }
}
