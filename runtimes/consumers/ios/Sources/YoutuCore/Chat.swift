import Foundation

/// A message of the user or a reply; replies in a history are without their thinking.
public struct Turn {
    public let user: Bool
    public let text: String
    public init(user: Bool, text: String) { (self.user, self.text) = (user, text) }
}

/// What the model wrote. `ended`: it came to its own end, else it was stopped or the context is full.
public struct Reply {
    public let text: String
    public let tokens: [Int]
    public let ended: Bool

    /// The text without its thinking: what belongs into the history.
    public var answer: String {
        if let close = text.range(of: "</think>") {
            return String(text[close.upperBound...].drop { $0.isWhitespace })
        }
        return text.contains("<think>") ? "" : text
    }
}

/// A folder that `youtu-onnx mobile` wrote, ready to talk. Not for several threads at once.
public final class Chat {
    public let record: Record
    public let tokenizer: Tokenizer
    public let decoder: Decoder
    private let frame: ChatFrame

    public init(_ folder: URL, threads: Int32 = 4) throws {
        record = try Record.read(folder)
        guard let frame = record.chat else {
            throw ModelError("this model has no chat template that can be followed without Jinja")
        }
        self.frame = frame
        tokenizer = try Tokenizer(folder.appendingPathComponent("tokenizer.json"))
        decoder = try Decoder(folder, record, threads: threads)
    }

    /// The tokens of a conversation, the last of which is the user's. What people wrote never becomes a control token.
    public func prompt(_ turns: [Turn], system: String = "", thinking: Bool = true) throws -> [Int] {
        guard turns.count % 2 == 1, turns.enumerated().allSatisfy({ $1.user == ($0 % 2 == 0) }) else {
            throw ModelError("a conversation starts and ends with the user, and both sides take turns")
        }
        var ids: [Int] = []
        var fixed = system.isEmpty ? frame.user : frame.system
        func say(_ text: String, then next: String) throws {
            ids += try tokenizer.encode(fixed, special: true) + tokenizer.encode(text, special: false)
            fixed = next
        }
        if !system.isEmpty { try say(system, then: frame.userAfterSystem) }
        let end = thinking ? frame.generate : frame.generateWithoutThinking
        for (index, turn) in turns.enumerated() {
            try say(turn.text, then: index == turns.count - 1 ? end : turn.user ? frame.reply : frame.nextUser)
        }
        return ids + (try tokenizer.encode(fixed, special: true))
    }

    /// Writes a reply, telling its text as it comes. `goOn` is asked before each token; false ends the reply.
    public func reply(_ prompt: [Int], mostTokens: Int = 1024, sampling: Sampling? = nil, goOn: () -> Bool = { true },
                      onText: (String) -> Void = { _ in }) throws -> Reply {
        guard !prompt.isEmpty else { throw ModelError("the prompt is empty") }
        var logits = try decoder.hold(prompt)
        var tokens: [Int] = [], bytes: [UInt8] = [], told = 0
        var ended = false
        let room = min(mostTokens, record.contextLength - prompt.count)
        while tokens.count < room, goOn() {
            let next = Self.choose(logits, sampling ?? record.sampling)
            if record.endTokenIds.contains(next) { ended = true; break }
            tokens.append(next)
            bytes += try tokenizer.bytes([next])
            let whole = Self.wholeCharacters(bytes)
            if whole > told { onText(String(decoding: bytes[told..<whole], as: UTF8.self)) }
            told = max(told, whole)
            if tokens.count < room { logits = try decoder.append([next]) }
        }
        if told < bytes.count { onText(String(decoding: bytes[told...], as: UTF8.self)) }
        return Reply(text: String(decoding: bytes, as: UTF8.self), tokens: tokens, ended: ended)
    }

    /// The next token: temperature, then the likeliest `topK`, of these the fewest with `topP`, then chance.
    static func choose(_ logits: [Float], _ sampling: Sampling) -> Int {
        if sampling.temperature == 0 { return logits.indices.max { logits[$0] < logits[$1] }! }
        var order = logits.indices.sorted { logits[$0] > logits[$1] }
        if sampling.topK > 0 { order = Array(order.prefix(sampling.topK)) }
        let weights = order.map { exp(Double(logits[$0] - logits[order[0]]) / sampling.temperature) }
        let enough = sampling.topP * weights.reduce(0, +)
        var kept = 0, sum = 0.0
        while kept < order.count, kept == 0 || sum < enough { sum += weights[kept]; kept += 1 }
        var point = Double.random(in: 0..<sum)
        for index in 0..<kept {
            point -= weights[index]
            if point < 0 { return order[index] }
        }
        return order[kept - 1]
    }

    /// How many leading bytes hold no unfinished character at their end.
    private static func wholeCharacters(_ bytes: [UInt8]) -> Int {
        for back in 1...4 where back <= bytes.count {
            let byte = bytes[bytes.count - back]
            if byte & 0xc0 == 0x80 { continue }
            let length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
            return length > back ? bytes.count - back : bytes.count
        }
        return bytes.count
    }
}
