import SwiftUI
import YoutuCore

@main
struct ChatApp: App {
    var body: some Scene {
        WindowGroup { ChatView() }
    }
}

/// The model on a queue of its own, one request after another; what it says is published on the main one.
@MainActor
final class Conversation: ObservableObject {
    @Published var shown = ""
    @Published var running = false
    private let queue = DispatchQueue(label: "model", qos: .userInitiated)
    private var chat: Chat?
    private var turns: [Turn] = []
    private let stop = Flag()

    func open(_ folder: URL) {
        work("opening \(folder.lastPathComponent) …\n") {
            let chat = try Chat(folder)
            return { self.chat = chat; self.shown += "ready\n" }
        }
    }

    func ask(_ text: String) {
        guard let chat else { return }
        let asked = turns + [Turn(user: true, text: text)]
        let stop = self.stop
        work("\n› \(text)\n") {
            let reply = try chat.reply(try chat.prompt(asked), goOn: { !stop.isSet }, onText: { piece in
                Task { @MainActor in self.shown += piece }
            })
            return { self.turns = asked + [Turn(user: false, text: reply.answer)]; self.shown += "\n" }
        }
    }

    func cancel() { stop.set(true) }

    private func work(_ line: String, _ task: @escaping () throws -> @MainActor () -> Void) {
        shown += line
        running = true
        stop.set(false)
        queue.async {
            let result = Result { try task() }
            Task { @MainActor in
                switch result {
                case .success(let finish): finish()
                case .failure(let error): self.shown += "\n\(error.localizedDescription)\n"
                }
                self.running = false
            }
        }
    }
}

/// A flag that two threads share.
final class Flag: @unchecked Sendable {
    private let lock = NSLock()
    private var value = false
    var isSet: Bool { lock.withLock { value } }
    func set(_ new: Bool) { lock.withLock { value = new } }
}

struct ChatView: View {
    @StateObject private var conversation = Conversation()
    @State private var text = ""

    var body: some View {
        VStack {
            ScrollView { Text(conversation.shown).textSelection(.enabled).frame(maxWidth: .infinity, alignment: .leading) }
            HStack {
                TextField("Message", text: $text, axis: .vertical).textFieldStyle(.roundedBorder)
                Button(conversation.running ? "Stop" : "Send") {
                    if conversation.running { conversation.cancel(); return }
                    let asked = text.trimmingCharacters(in: .whitespacesAndNewlines)
                    if !asked.isEmpty { text = ""; conversation.ask(asked) }
                }
            }
        }
        .padding()
        .onAppear {
            let documents = FileManager.default.urls(for: .documentDirectory, in: .userDomainMask)[0]
            conversation.open(documents.appendingPathComponent("model"))
        }
    }
}
