using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Text;
using System.Text.RegularExpressions;

namespace YoutuOnnx.Text
{
    /// <summary>Cuts a text where tokens must end: the pre_tokenizer of tokenizer.json.</summary>
    /// <remarks>
    /// .NET's Regex sees a character beyond U+FFFF as two halves that are no letters. So the patterns run over a copy in which
    /// each such character is one stand-in of the same category, and the cuts are carried over to the text.
    /// </remarks>
    public sealed class Splitter
    {
        private static readonly Dictionary<UnicodeCategory, char> StandIns = new Dictionary<UnicodeCategory, char>
        {
            { UnicodeCategory.UppercaseLetter, '\u00c0' }, { UnicodeCategory.LowercaseLetter, '\u00df' },
            { UnicodeCategory.TitlecaseLetter, '\u01c5' }, { UnicodeCategory.ModifierLetter, '\u02b0' },
            { UnicodeCategory.OtherLetter, '\u00aa' }, { UnicodeCategory.NonSpacingMark, '\u0300' },
            { UnicodeCategory.SpacingCombiningMark, '\u0903' }, { UnicodeCategory.EnclosingMark, '\u20dd' },
            { UnicodeCategory.DecimalDigitNumber, '\u0660' }, { UnicodeCategory.LetterNumber, '\u2160' },
            { UnicodeCategory.OtherNumber, '\u00b2' }, { UnicodeCategory.Format, '\u200b' },
            { UnicodeCategory.PrivateUse, '\ue000' }, { UnicodeCategory.OtherPunctuation, '\u00a1' },
            { UnicodeCategory.DashPunctuation, '\u2010' }, { UnicodeCategory.MathSymbol, '\u00b1' },
            { UnicodeCategory.CurrencySymbol, '\u00a2' }, { UnicodeCategory.ModifierSymbol, '\u00b4' },
            { UnicodeCategory.OtherSymbol, '\u00a9' },
        };

        private readonly List<Regex> patterns = new List<Regex>();

        /// <exception cref="InvalidDataException">A kind of pre-tokenizer that Youtu's tokenizers don't have.</exception>
        public Splitter(Dictionary<string, object> preTokenizer)
        {
            var steps = preTokenizer != null && (string)preTokenizer["type"] == "Sequence"
                ? (List<object>)preTokenizer["pretokenizers"] : new List<object> { preTokenizer };
            bool bytes = false;
            foreach (object one in steps)
            {
                var step = one as Dictionary<string, object>;
                string type = step == null ? "none" : (string)step["type"];
                if (type == "Split" && (string)step["behavior"] == "Isolated" && Equals(step["invert"], false)
                    && ((Dictionary<string, object>)step["pattern"]).ContainsKey("Regex"))
                {
                    string pattern = (string)((Dictionary<string, object>)step["pattern"])["Regex"];
                    patterns.Add(new Regex(pattern, RegexOptions.CultureInvariant));
                }
                else if (type == "ByteLevel" && Equals(step["use_regex"], false) && Equals(step["add_prefix_space"], false))
                {
                    bytes = true;
                }
                else
                {
                    throw new InvalidDataException("tokenizer.json: a pre-tokenizer " + type + " of a form that isn't read here");
                }
            }
            if (!bytes)
            {
                throw new InvalidDataException("tokenizer.json: the pre-tokenizer isn't byte-level");
            }
        }

        /// <summary>The pieces, which join to the text again.</summary>
        public List<string> Split(string text)
        {
            var offsets = new List<int>();  // of each character of the copy in the text, and the text's end
            var copy = new StringBuilder(text.Length);
            for (int at = 0; at < text.Length; at += char.IsSurrogatePair(text, at) ? 2 : 1)
            {
                offsets.Add(at);
                copy.Append(char.IsSurrogatePair(text, at) ? StandIn(text, at) : text[at]);
            }
            offsets.Add(text.Length);
            string[] pieces = { copy.ToString() };
            foreach (Regex pattern in patterns)
            {
                pieces = Isolated(pattern, pieces);
            }
            var found = new List<string>(pieces.Length);
            int start = 0;
            foreach (string piece in pieces)
            {
                found.Add(text.Substring(offsets[start], offsets[start + piece.Length] - offsets[start]));
                start += piece.Length;
            }
            return found;
        }

        private static string[] Isolated(Regex pattern, string[] pieces)
        {
            var found = new List<string>();
            foreach (string piece in pieces)
            {
                int start = 0;
                foreach (Match match in pattern.Matches(piece))
                {
                    if (match.Index > start)
                    {
                        found.Add(piece.Substring(start, match.Index - start));
                    }
                    if (match.Length > 0)
                    {
                        found.Add(match.Value);
                    }
                    start = match.Index + match.Length;
                }
                if (start < piece.Length)
                {
                    found.Add(piece.Substring(start));
                }
            }
            return found.ToArray();
        }

        private static char StandIn(string text, int at)
        {
            char standIn;
            // what is left are unassigned characters and rare punctuation
            return StandIns.TryGetValue(CharUnicodeInfo.GetUnicodeCategory(text, at), out standIn) ? standIn : '\u00a9';
        }
    }
}
