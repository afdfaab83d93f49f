package youtuonnx;

import ai.onnxruntime.OrtException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/** A chat on standard input and output, one message a line. */
public final class Main {
    private static final String USAGE = "usage: youtuonnx.Main BUNDLE [--provider cpu|cuda|dml] [--system TEXT] "
            + "[--max-tokens N] [--no-thinking]";

    private String folder, provider, system;
    private int maxTokens = 512;
    private boolean thinking = true;

    private Main(String[] arguments) {
        Deque<String> left = new ArrayDeque<>(List.of(arguments));
        while (!left.isEmpty()) {
            String name = left.pop();
            switch (name) {
                case "--no-thinking" -> thinking = false;
                case "--provider" -> provider = value(name, left);
                case "--system" -> system = value(name, left);
                case "--max-tokens" -> maxTokens = Integer.parseInt(value(name, left));
                default -> {
                    if (name.startsWith("-") || folder != null) {
                        throw new IllegalArgumentException(name + " is not understood");
                    }
                    folder = name;
                }
            }
        }
        if (folder == null || maxTokens < 1) {
            throw new IllegalArgumentException(folder == null ? "no BUNDLE is named" : "--max-tokens is at least 1");
        }
    }

    public static void main(String[] arguments) {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        Main main;
        try {
            main = new Main(arguments);
        } catch (IllegalArgumentException error) {
            System.err.println(error.getMessage() + "\n" + USAGE);
            System.exit(2);
            return;
        }
        try (OrtChat chat = new OrtChat(Path.of(main.folder), main.provider)) {
            main.talk(chat, out);
        } catch (IOException | OrtException | IllegalArgumentException | UnsatisfiedLinkError error) {
            System.err.println("error: " + (error instanceof IOException ? error : error.getMessage()));
            System.exit(1);
        }
    }

    private void talk(OrtChat chat, PrintStream out) throws IOException, OrtException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        List<Message> messages = new ArrayList<>();
        if (system != null) {
            messages.add(new Message("system", system));
        }
        String line;
        out.print("> ");
        out.flush();
        while ((line = in.readLine()) != null && !line.equals("/exit")) {
            if (line.equals("/reset")) {
                messages.removeIf(message -> !message.role().equals("system"));
            } else if (!line.isBlank()) {
                messages.add(new Message("user", line));
                messages.add(new Message("assistant", chat.reply(messages, thinking, maxTokens, piece -> {
                    out.print(piece);
                    out.flush();
                })));
                out.println();
            }
            out.print("> ");
            out.flush();
        }
    }

    private static String value(String name, Deque<String> left) {
        if (left.isEmpty()) {
            throw new IllegalArgumentException(name + " needs a value");
        }
        return left.pop();
    }
}
