import Foundation

/// A byte-level BPE from `tokenizer.json`: text to token ids and back, as Hugging Face's tokenizers does it for the
/// pre-tokenizers that Youtu-LLM has (a sequence of `Split`s that isolate, then `ByteLevel` without a regex of its own).
/// Anything else in the file is refused rather than done differently.
///
/// Tokens are byte arrays here: Swift's strings are equal where Unicode calls them equivalent, and tokens must not be.
public final class Tokenizer {
    private struct Pair: Hashable { let left: [UInt8], right: [UInt8] }

    private let ids: [[UInt8]: Int]
    private let tokens: [Int: [UInt8]]
    private let ranks: [Pair: Int]
    private let splits: [NSRegularExpression]
    private let added: [String: Int]
    private let addedPattern: NSRegularExpression?
    private let ignoreMerges: Bool

    /// GPT-2's printable stand-in for each byte.
    private static let bytes: [Unicode.Scalar: UInt8] = {
        var table: [Unicode.Scalar: UInt8] = [:]
        var next: UInt32 = 256
        for byte in 0...255 as ClosedRange<UInt32> {
            let printable = (0x21...0x7e).contains(byte) || (0xa1...0xac).contains(byte) || (0xae...0xff).contains(byte)
            table[Unicode.Scalar(printable ? byte : next)!] = UInt8(byte)
            if !printable { next += 1 }
        }
        return table
    }()

    public init(_ file: URL) throws {
        guard let fields = try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any],
              let model = fields["model"] as? [String: Any], let vocabulary = model["vocab"] as? [String: Int],
              let merges = model["merges"] as? [Any], let listed = fields["added_tokens"] as? [[String: Any]],
              let pre = fields["pre_tokenizer"] as? [String: Any]
        else { throw ModelError("\(file.path) is no tokenizer.json") }
        try Self.check(model["type"] as? String == "BPE" && fields["normalizer"] is NSNull, "a normalizer, or no BPE")
        for option in ["byte_fallback", "fuse_unk"] { try Self.check(model[option] as? Bool != true, option) }
        for option in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
            let value = model[option]
            try Self.check(value == nil || value is NSNull || value as? String == "", option)
        }
        for option in ["single_word", "lstrip", "rstrip"] {
            try Self.check(!listed.contains { $0[option] as? Bool == true }, "an added token with \(option)")
        }
        var added: [String: Int] = [:]
        for token in listed {
            guard let content = token["content"] as? String, let id = token["id"] as? Int else {
                throw ModelError("\(file.path) has an added token without content or id")
            }
            added[content] = id
        }
        var ids: [[UInt8]: Int] = [:]
        var tokens: [Int: [UInt8]] = [:]
        for (text, id) in vocabulary where added[text] == nil {
            let token = try Self.token(text)
            ids[token] = id
            tokens[id] = token
        }
        for (text, id) in added { tokens[id] = Array(text.utf8) }
        var ranks: [Pair: Int] = [:]
        for (rank, merge) in merges.enumerated() {
            let pair = merge as? [String] ?? (merge as? String)?.split(separator: " ").map(String.init) ?? []
            try Self.check(pair.count == 2, "a merge of other than two tokens")
            ranks[Pair(left: try Self.token(pair[0]), right: try Self.token(pair[1]))] = rank
        }
        (self.ids, self.tokens, self.ranks, self.added) = (ids, tokens, ranks, added)
        let literals = added.keys.sorted { $0.utf8.count > $1.utf8.count }.map(NSRegularExpression.escapedPattern)
        addedPattern = literals.isEmpty ? nil : try NSRegularExpression(pattern: literals.joined(separator: "|"))
        splits = try Self.splits(pre)
        ignoreMerges = model["ignore_merges"] as? Bool == true
    }

    /// Token ids of a text. `special`: literals of added tokens stand for the tokens, as in what a template wrote.
    public func encode(_ text: String, special: Bool) throws -> [Int] {
        guard special, let addedPattern else { return try plain(text as NSString) }
        let whole = text as NSString
        var found: [Int] = []
        var from = 0
        for match in addedPattern.matches(in: text, range: NSRange(location: 0, length: whole.length)) {
            found += try plain(whole.substring(with: NSRange(location: from, length: match.range.location - from)) as NSString)
            found.append(added[whole.substring(with: match.range)]!)
            from = NSMaxRange(match.range)
        }
        return found + (try plain(whole.substring(from: from) as NSString))
    }

    /// The bytes that ids stand for; what a single token decodes to may be part of a character.
    public func bytes(_ ids: [Int]) throws -> [UInt8] {
        try ids.flatMap { id in
            guard let token = tokens[id] else { throw ModelError("token \(id) is not in the vocabulary") }
            return token
        }
    }

    private func plain(_ text: NSString) throws -> [Int] {
        var pieces = [text as String]
        for split in splits { pieces = pieces.flatMap { Self.isolate($0 as NSString, split) } }
        return try pieces.flatMap { try merge(Array($0.utf8)) }
    }

    /// Matches and what lies between them, each a piece.
    private static func isolate(_ text: NSString, _ pattern: NSRegularExpression) -> [String] {
        var pieces: [String] = []
        var from = 0
        let whole = NSRange(location: 0, length: text.length)
        for match in pattern.matches(in: text as String, range: whole) where match.range.length > 0 {
            if match.range.location > from {
                pieces.append(text.substring(with: NSRange(location: from, length: match.range.location - from)))
            }
            pieces.append(text.substring(with: match.range))
            from = NSMaxRange(match.range)
        }
        return from < text.length ? pieces + [text.substring(from: from)] : pieces
    }

    /// Joins the neighbours of the lowest rank, leftmost first, until none has a rank.
    private func merge(_ piece: [UInt8]) throws -> [Int] {
        if ignoreMerges, let id = ids[piece] { return [id] }
        var parts = piece.map { [$0] }
        while parts.count > 1 {
            var best: (rank: Int, at: Int)?
            for at in 0..<(parts.count - 1) {
                if let rank = ranks[Pair(left: parts[at], right: parts[at + 1])], rank < best?.rank ?? Int.max {
                    best = (rank, at)
                }
            }
            guard let best else { break }
            parts[best.at] += parts.remove(at: best.at + 1)
        }
        return try parts.map { part in
            guard let id = ids[part] else { throw ModelError("tokenizer.json has no token for the bytes \(part)") }
            return id
        }
    }

    private static func token(_ text: String) throws -> [UInt8] {
        try text.unicodeScalars.map { scalar in
            guard let byte = bytes[scalar] else { throw ModelError("tokenizer.json has '\(text)', which is no byte-level token") }
            return byte
        }
    }

    private static func splits(_ pre: [String: Any]) throws -> [NSRegularExpression] {
        let steps = pre["type"] as? String == "Sequence" ? pre["pretokenizers"] as? [[String: Any]] ?? [] : [pre]
        try check(steps.last?["type"] as? String == "ByteLevel" && steps.last?["use_regex"] as? Bool != true
                  && steps.last?["add_prefix_space"] as? Bool != true, "a ByteLevel with options, or none")
        return try steps.dropLast().map { step in
            guard step["type"] as? String == "Split", step["behavior"] as? String == "Isolated", step["invert"] as? Bool != true,
                  let pattern = (step["pattern"] as? [String: Any])?["Regex"] as? String
            else { throw ModelError("tokenizer.json has a pre-tokenizer that is no isolating Split") }
            return try NSRegularExpression(pattern: pattern)  // ICU's \s is Unicode's white space, as in the file's dialect
        }
    }

    private static func check(_ holds: Bool, _ what: String) throws {
        if !holds { throw ModelError("tokenizer.json has \(what), which this tokenizer doesn't do") }
    }
}
