package youtuonnx;

/** What was typed can't be done; the message says why. */
final class CommandException extends Exception {
    private static final long serialVersionUID = 1;

    CommandException(String message) {
        super(message);
    }
}
