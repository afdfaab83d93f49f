package youtuonnx;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;

/** Turns ids into text as they come: a character is given out when its last byte is there. */
public final class TextStream {
    private final BundleTokenizer tokenizer;
    private final CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder()
            .onMalformedInput(CodingErrorAction.REPLACE).onUnmappableCharacter(CodingErrorAction.REPLACE);
    private byte[] held = {};

    public TextStream(BundleTokenizer tokenizer) {
        this.tokenizer = tokenizer;
    }

    public String push(int id) {
        return text(tokenizer.bytes(id), false);
    }

    /** What is left: bytes that never became a character. */
    public String finish() {
        return text(new byte[0], true);
    }

    private String text(byte[] more, boolean last) {
        ByteBuffer bytes = ByteBuffer.allocate(held.length + more.length).put(held).put(more).flip();
        CharBuffer made = CharBuffer.allocate(bytes.remaining() + 1);
        decoder.decode(bytes, made, last);
        held = new byte[bytes.remaining()];
        bytes.get(held);
        return made.flip().toString();
    }
}
