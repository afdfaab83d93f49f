using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;
using System.Text.RegularExpressions;

namespace YoutuOnnx.Text
{
    /// <summary>tokenizer.json of a bundle: the ids that Hugging Face's tokenizer gives.</summary>
    public sealed class BundleTokenizer
    {
        private readonly Splitter splitter;
        private readonly BytePairs pairs;
        private readonly Dictionary<string, int> added = new Dictionary<string, int>();
        private readonly Dictionary<int, byte[]> addedBytes = new Dictionary<int, byte[]>();
        private readonly HashSet<int> special = new HashSet<int>();
        private readonly Regex addedPattern;

        /// <param name="folder">The bundle's.</param>
        /// <exception cref="InvalidDataException">A tokenizer of another kind than Youtu's.</exception>
        public BundleTokenizer(string folder)
        {
            var file = Json.ReadFile(Path.Combine(folder, "tokenizer.json"));
            if (file["normalizer"] != null)
            {
                throw new InvalidDataException("tokenizer.json: a normalizer isn't read here");
            }
            splitter = new Splitter((Dictionary<string, object>)file["pre_tokenizer"]);
            pairs = new BytePairs((Dictionary<string, object>)file["model"]);
            foreach (Dictionary<string, object> token in (List<object>)file["added_tokens"])
            {
                if (new[] { "single_word", "lstrip", "rstrip" }.Any(name => Equals(token[name], true)))
                {
                    throw new InvalidDataException("tokenizer.json: an added token that takes spaces isn't read here");
                }
                int id = (int)(double)token["id"];
                added[(string)token["content"]] = id;
                addedBytes[id] = Encoding.UTF8.GetBytes((string)token["content"]);
                if (Equals(token["special"], true))
                {
                    special.Add(id);
                }
            }
            // the longest of those that begin at one place wins
            addedPattern = new Regex(string.Join("|", added.Keys.OrderByDescending(key => key.Length).Select(Regex.Escape)));
        }

        /// <summary>The id of an added token's literal, such as &lt;|User|&gt;.</summary>
        public int Id(string literal)
        {
            return added[literal];
        }

        /// <summary>Token ids of a text that somebody wrote: what looks like a control token is characters.</summary>
        public List<int> Encode(string text)
        {
            var ids = new List<int>();
            foreach (string piece in splitter.Split(WithoutHalves(text)))
            {
                pairs.Encode(piece, ids);
            }
            return ids;
        }

        /// <summary>Token ids of a text in which literals of added tokens stand for the tokens.</summary>
        /// <param name="allowed">Literals that do; null for all. The others are characters.</param>
        public List<int> EncodeControl(string text, ICollection<string> allowed = null)
        {
            var ids = new List<int>();
            int start = 0;
            foreach (Match match in addedPattern.Matches(text))
            {
                if (allowed == null || allowed.Contains(match.Value))
                {
                    ids.AddRange(Encode(text.Substring(start, match.Index - start)));
                    ids.Add(added[match.Value]);
                    start = match.Index + match.Length;
                }
            }
            ids.AddRange(Encode(text.Substring(start)));
            return ids;
        }

        /// <summary>The text of ids. Bytes that are no UTF-8 become U+FFFD.</summary>
        public string Decode(IEnumerable<int> ids)
        {
            return Encoding.UTF8.GetString(ids.SelectMany(id => Bytes(id)).ToArray());
        }

        /// <summary>Whether the id is a token that a reader shouldn't see, such as the end of a reply.</summary>
        public bool IsSpecial(int id)
        {
            return special.Contains(id);
        }

        /// <summary>The bytes of an id, none beyond the vocabulary. A character may be spread over several ids.</summary>
        public byte[] Bytes(int id)
        {
            byte[] bytes;
            return addedBytes.TryGetValue(id, out bytes) ? bytes : pairs.Bytes(id) ?? new byte[0];
        }

        /// <summary>Halves of surrogate pairs, which UTF-8 can't carry, become U+FFFD.</summary>
        private static string WithoutHalves(string text)
        {
            return Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
        }
    }
}
