using System.Collections.Generic;
using System.IO;
using YoutuOnnx.Text;

namespace YoutuOnnx.Ort
{
    /// <summary>One past input of the graph and its present output, both [1, heads, tokens, width].</summary>
    public sealed class CacheTensor
    {
        public string Past, Present;
        public long Heads, Width;
    }

    /// <summary>What a program has to know of a bundle, from youtu_onnx.json.</summary>
    public sealed class Manifest
    {
        private const double Newest = 2;

        public readonly List<CacheTensor> Tensors = new List<CacheTensor>();
        public readonly HashSet<int> EndIds = new HashSet<int>();
        public readonly string CacheType;

        /// <summary>Whether the graph was written as the optimizer would leave it.</summary>
        public readonly bool Optimized;

        /// <summary>Whether a last column of 1 + k in the mask asks for logits of the last k positions only.</summary>
        public readonly bool MaskKeepsLogits;

        /// <summary>The provider that the graph was written for; those of phones run on the CPU.</summary>
        public readonly string Provider;

        /// <summary>Whether every cache tensor has one row for each token, so that a sequence's last tokens can be taken back.</summary>
        public readonly bool OneRowEach;

        /// <summary>Tokens that the cache's buffers have room for, where their length is fixed; null where the cache grows.</summary>
        public readonly int? Reserved;

        /// <summary>The most tokens of a sequence.</summary>
        public readonly int ContextLength;

        /// <exception cref="InvalidDataException">A bundle of a newer format, or none.</exception>
        public Manifest(string folder)
        {
            var file = Json.ReadFile(Path.Combine(folder, "youtu_onnx.json"));
            if ((double)file["format_version"] > Newest)
            {
                throw new InvalidDataException("the bundle has format " + file["format_version"] + "; this program reads 1 to "
                                               + Newest);
            }
            var architecture = (Dictionary<string, object>)file["architecture"];
            var cache = (Dictionary<string, object>)file["cache"];
            OneRowEach = !IsFalse(cache, "uniform") && !IsFalse(cache, "rewindable");  // format 1 says nothing, and has no other
            object length, graph;
            Reserved = cache.TryGetValue("length", out length) && length != null ? (int?)(double)length : null;
            ContextLength = Reserved ?? (int)(double)architecture["max_position_embeddings"];
            if (file.TryGetValue("graph", out graph))
            {
                Provider = (string)((Dictionary<string, object>)graph)["provider"];
                Optimized = (bool)((Dictionary<string, object>)graph)["optimized"];
                object keeps;
                MaskKeepsLogits = ((Dictionary<string, object>)graph).TryGetValue("mask_keeps_logits", out keeps) && (bool)keeps;
            }
            else  // format 1 has a target, and leaves the rest to its readers
            {
                Provider = (string)file["target"] == "mobile" ? "cpu" : (string)file["target"];
                Optimized = Provider == "cpu" && (string)cache["form"] == "latent"
                    && (string)((Dictionary<string, object>)file["recipe"])["precision"] != "fp16";
            }
            CacheType = (string)cache["dtype"];
            foreach (double id in (List<object>)architecture["eos_token_ids"])
            {
                EndIds.Add((int)id);
            }
            foreach (Dictionary<string, object> tensor in (List<object>)cache["tensors"])
            {
                Tensors.Add(new CacheTensor
                {
                    Past = (string)tensor["past"],
                    Present = (string)tensor["present"],
                    Heads = (long)(double)tensor["heads"],
                    Width = (long)(double)tensor["width"],
                });
            }
        }

        private static bool IsFalse(Dictionary<string, object> fields, string name)
        {
            object value;
            return fields.TryGetValue(name, out value) && false.Equals(value);
        }
    }
}
