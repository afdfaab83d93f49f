import Foundation

/// Something is wrong with the model's folder, or the conversation is too long for it; the text is for people.
public struct ModelError: LocalizedError {
    public let errorDescription: String?
    init(_ text: String) { errorDescription = text }
}

/// A cache tensor: `[1, heads, rows, width]` under its past name in, as the step leaves it under its present name out.
public struct CacheTensor: Decodable {
    let past: String, present: String
    let heads: Int, width: Int
}

/// What a chat template writes around messages; control tokens' literals in it stand for the tokens.
public struct ChatFrame: Decodable {
    let user: String, system: String, userAfterSystem: String, reply: String, nextUser: String
    let generate: String, generateWithoutThinking: String
}

/// How tokens are chosen: a temperature of 0 is greedy, `topK` 0 and `topP` 1 leave all tokens in.
public struct Sampling: Decodable {
    public var temperature: Double, topK: Int, topP: Double
    public init(temperature: Double, topK: Int, topP: Double) {
        (self.temperature, self.topK, self.topP) = (temperature, topK, topP)
    }
}

/// `model.json` of a folder that `youtu-onnx mobile` wrote. `chat` is nil where the model has no template, or too rich a one.
public struct Record: Decodable {
    /// `uniform` and `rewindable` are missing in older records, which have no other caches.
    struct Cache: Decodable {
        let dtype: String, tensors: [CacheTensor], uniform: Bool?, rewindable: Bool?
        /// Whether every tensor has one row for each token, so that the last tokens can be taken back.
        var oneRowEach: Bool { uniform != false && rewindable != false }
    }
    struct Entry: Decodable { let size: Int }

    let formatVersion: Int
    let graph: String
    /// The oldest ONNX Runtime that opens the graph.
    public let onnxruntime: String
    let vocabSize: Int, contextLength: Int
    let endTokenIds: Set<Int>
    let chat: ChatFrame?
    public let sampling: Sampling
    let cache: Cache
    /// Whether a last column of 1 + k in the mask asks for logits of the last k positions only; older records don't say.
    let maskKeepsLogits: Bool?
    let files: [String: Entry]

    /// Reads the record, and sees that every file it lists is there in its size.
    public static func read(_ folder: URL) throws -> Record {
        let file = folder.appendingPathComponent("model.json")
        guard let data = try? Data(contentsOf: file) else {
            throw ModelError("\(folder.path) has no model.json: copy the folder that youtu-onnx mobile wrote")
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let record = try decoder.decode(Record.self, from: data)
        guard record.formatVersion == 1 else {
            throw ModelError("\(file.path) has format version \(record.formatVersion); this app reads 1")
        }
        for (name, entry) in record.files {
            let path = folder.appendingPathComponent(name).path
            let found = (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0
            guard found == entry.size else {
                throw ModelError("\(name) has \(found) bytes; expected \(entry.size): copy the folder again")
            }
        }
        return record
    }
}
