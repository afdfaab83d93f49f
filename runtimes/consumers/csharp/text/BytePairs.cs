using System;
using System.Collections.Generic;
using System.IO;
using System.Text;

namespace YoutuOnnx.Text
{
    /// <summary>The vocabulary and the merges of tokenizer.json: bytes of a piece to token ids and back.</summary>
    public sealed class BytePairs
    {
        private readonly int[] byteIds = new int[256];
        private readonly Dictionary<int, byte[]> bytesOf = new Dictionary<int, byte[]>();
        private readonly Dictionary<long, long> merges = new Dictionary<long, long>();  // pair of ids: rank << 32 | merged id

        /// <exception cref="InvalidDataException">A model that isn't byte-level BPE as Youtu's tokenizers are.</exception>
        public BytePairs(Dictionary<string, object> model)
        {
            object ignores;
            if ((string)model["type"] != "BPE" || (model.TryGetValue("ignore_merges", out ignores) && Equals(ignores, true)))
            {
                throw new InvalidDataException("tokenizer.json: a model of a form that isn't read here");
            }
            var vocabulary = (Dictionary<string, object>)model["vocab"];
            char[] letters = ByteLetters();
            var byteOf = new Dictionary<char, byte>();
            for (int value = 0; value < 256; value++)
            {
                byteIds[value] = (int)(double)vocabulary[letters[value].ToString()];
                byteOf[letters[value]] = (byte)value;
            }
            foreach (KeyValuePair<string, object> entry in vocabulary)
            {
                bytesOf[(int)(double)entry.Value] = Bytes(entry.Key, byteOf);
            }
            long rank = 0;
            foreach (object merge in (List<object>)model["merges"])
            {
                var pair = merge as List<object>;
                string[] halves = pair == null ? ((string)merge).Split(' ') : new[] { (string)pair[0], (string)pair[1] };
                long left = (long)(double)vocabulary[halves[0]], right = (long)(double)vocabulary[halves[1]];
                long merged = (long)(double)vocabulary[halves[0] + halves[1]];
                merges[left << 32 | right] = rank++ << 32 | merged;
            }
        }

        /// <summary>Adds a piece's ids. Each round joins all pairs of the lowest rank, so a long run takes few rounds.</summary>
        public void Encode(string piece, List<int> ids)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(piece);
            int[] parts = new int[bytes.Length];
            int count = bytes.Length;
            for (int index = 0; index < count; index++)
            {
                parts[index] = byteIds[bytes[index]];
            }
            while (true)
            {
                long best = long.MaxValue;
                for (int index = 0; index + 1 < count; index++)
                {
                    best = Math.Min(best, Merge(parts[index], parts[index + 1]));
                }
                if (best == long.MaxValue)
                {
                    break;
                }
                int kept = 0;
                for (int index = 0; index < count; index++)
                {
                    bool joins = index + 1 < count && Merge(parts[index], parts[index + 1]) == best;
                    parts[kept++] = joins ? (int)(best & 0xffffffff) : parts[index];
                    index += joins ? 1 : 0;
                }
                count = kept;
            }
            for (int index = 0; index < count; index++)
            {
                ids.Add(parts[index]);
            }
        }

        /// <summary>The bytes of an id; null where the vocabulary has no such id.</summary>
        public byte[] Bytes(int id)
        {
            byte[] bytes;
            return bytesOf.TryGetValue(id, out bytes) ? bytes : null;
        }

        private long Merge(int left, int right)
        {
            long found;
            return merges.TryGetValue((long)left << 32 | (uint)right, out found) ? found : long.MaxValue;
        }

        private static byte[] Bytes(string token, Dictionary<char, byte> byteOf)
        {
            byte[] bytes = new byte[token.Length];
            for (int index = 0; index < token.Length; index++)
            {
                if (!byteOf.TryGetValue(token[index], out bytes[index]))
                {
                    return Encoding.UTF8.GetBytes(token);
                }
            }
            return bytes;
        }

        /// <summary>The letter that stands for each byte in a byte-level vocabulary: itself where it is printable.</summary>
        private static char[] ByteLetters()
        {
            var letters = new char[256];
            int others = 256;
            for (int value = 0; value < 256; value++)
            {
                bool printable = (value >= '!' && value <= '~') || (value >= 0xa1 && value <= 0xff && value != 0xad);
                letters[value] = (char)(printable ? value : others++);
            }
            return letters;
        }
    }
}
