using System.Text;

namespace YoutuOnnx.Text
{
    /// <summary>Turns ids into text as they come: a character is given out when its last byte is there.</summary>
    public sealed class TextStream
    {
        private readonly BundleTokenizer tokenizer;
        private readonly Decoder decoder = Encoding.UTF8.GetDecoder();

        public TextStream(BundleTokenizer tokenizer)
        {
            this.tokenizer = tokenizer;
        }

        public string Push(int id)
        {
            return Text(tokenizer.Bytes(id), false);
        }

        /// <summary>What is left: bytes that never became a character.</summary>
        public string Finish()
        {
            return Text(new byte[0], true);
        }

        private string Text(byte[] bytes, bool last)
        {
            var made = new char[Encoding.UTF8.GetMaxCharCount(bytes.Length + 4)];
            return new string(made, 0, decoder.GetChars(bytes, 0, bytes.Length, made, 0, last));
        }
    }
}
