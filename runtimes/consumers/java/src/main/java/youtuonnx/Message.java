package youtuonnx;

/**
 * One message of a conversation.
 *
 * @param role system, user or assistant
 * @param reasoning an assistant's thinking, where it isn't in the content
 */
public record Message(String role, String content, String reasoning) {
    public Message(String role, String content) {
        this(role, content, "");
    }
}
