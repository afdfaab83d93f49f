using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Text;

namespace YoutuOnnx.Text
{
    /// <summary>JSON as dictionaries, lists, strings, doubles, bools and null.</summary>
    /// <remarks>Own code because this source also compiles where System.Text.Json isn't: mono, .NET Framework, Unity.</remarks>
    public sealed class Json
    {
        private readonly string text;
        private int at;

        private Json(string text)
        {
            this.text = text;
        }

        /// <summary>The object that a file holds.</summary>
        /// <exception cref="InvalidDataException">The file isn't a JSON object.</exception>
        public static Dictionary<string, object> ReadFile(string path)
        {
            var found = Parse(File.ReadAllText(path, Encoding.UTF8)) as Dictionary<string, object>;
            if (found == null)
            {
                throw new InvalidDataException(path + " holds no JSON object");
            }
            return found;
        }

        /// <exception cref="InvalidDataException">The text isn't JSON.</exception>
        public static object Parse(string text)
        {
            var json = new Json(text);
            object value = json.Value(0);
            json.Space();
            if (json.at != text.Length)
            {
                throw json.Error("the end");
            }
            return value;
        }

        /// <summary>A string as JSON has it.</summary>
        public static string Quoted(string text)
        {
            var made = new StringBuilder("\"");
            foreach (char one in text)
            {
                bool escaped = one < ' ' || one == '"' || one == '\\' || char.IsSurrogate(one);
                made.Append(escaped ? "\\u" + ((int)one).ToString("x4", CultureInfo.InvariantCulture) : one.ToString());
            }
            return made.Append('"').ToString();
        }

        private object Value(int depth)
        {
            if (depth > 200)
            {
                throw Error("fewer than 200 levels");
            }
            Space();
            switch (Peek())
            {
                case '{':
                    return Object(depth);
                case '[':
                    return List(depth);
                case '"':
                    return String();
                case 't':
                    return Word("true", true);
                case 'f':
                    return Word("false", false);
                case 'n':
                    return Word("null", null);
                default:
                    return Number();
            }
        }

        private Dictionary<string, object> Object(int depth)
        {
            var fields = new Dictionary<string, object>();
            at++;
            Space();
            while (Peek() != '}')
            {
                Space();
                string name = String();
                Space();
                Expect(':');
                fields[name] = Value(depth + 1);
                Space();
                if (Peek() != '}')
                {
                    Expect(',');
                    Space();
                    if (Peek() != '"')
                    {
                        throw Error("a name");
                    }
                }
            }
            at++;
            return fields;
        }

        private List<object> List(int depth)
        {
            var items = new List<object>();
            at++;
            Space();
            bool more = Peek() != ']';
            while (more)
            {
                items.Add(Value(depth + 1));
                Space();
                more = Peek() != ']';
                if (more)
                {
                    Expect(',');
                }
            }
            at++;
            return items;
        }

        private string String()
        {
            Expect('"');
            int start = at;
            while (Peek() != '"' && Peek() != '\\')
            {
                at++;
            }
            if (Peek() == '"')
            {
                return text.Substring(start, at++ - start);
            }
            var made = new StringBuilder(text, start, at - start, 64);
            while (Peek() != '"')
            {
                made.Append(Peek() == '\\' ? Escaped() : text[at++]);
            }
            at++;
            return made.ToString();
        }

        private char Escaped()
        {
            at++;
            char kind = Peek();
            at++;
            int simple = "\"\\/bfnrt".IndexOf(kind);
            if (simple >= 0)
            {
                return "\"\\/\b\f\n\r\t"[simple];
            }
            ushort code;
            if (kind != 'u' || at + 4 > text.Length
                || !ushort.TryParse(text.Substring(at, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture,
                                    out code))
            {
                throw Error("an escape");
            }
            at += 4;
            return (char)code;
        }

        private object Word(string word, object value)
        {
            if (string.CompareOrdinal(text, at, word, 0, word.Length) != 0)
            {
                throw Error(word);
            }
            at += word.Length;
            return value;
        }

        private object Number()
        {
            int start = at;
            while (at < text.Length && "+-.0123456789eE".IndexOf(text[at]) >= 0)
            {
                at++;
            }
            double value;
            if (!double.TryParse(text.Substring(start, at - start), NumberStyles.Float, CultureInfo.InvariantCulture, out value))
            {
                throw Error("a value");
            }
            return value;
        }

        private char Peek()
        {
            if (at >= text.Length)
            {
                throw Error("more");
            }
            return text[at];
        }

        private void Expect(char wanted)
        {
            if (Peek() != wanted)
            {
                throw Error("'" + wanted + "'");
            }
            at++;
        }

        private void Space()
        {
            while (at < text.Length && " \t\r\n".IndexOf(text[at]) >= 0)
            {
                at++;
            }
        }

        private InvalidDataException Error(string expected)
        {
            return new InvalidDataException("no JSON: expected " + expected + " at character " + at);
        }
    }
}
