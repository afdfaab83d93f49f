import Foundation
import OnnxRuntimeBindings

/// One sequence of tokens in a cache, and the logits that follow it. Presents of a step are the pasts of the next.
///
/// Not for several threads at once.
public final class Decoder {
    /// New tokens of a step. Steps of 64 and more would make every head's keys and values of the whole cache.
    static let step = 32

    private let record: Record
    private let environment: ORTEnv
    private let session: ORTSession
    private let type: ORTTensorElementDataType
    private let outputs: Set<String>
    private var past: [ORTValue] = []
    /// The tokens in the cache.
    public private(set) var tokens: [Int] = []

    public init(_ folder: URL, _ record: Record, threads: Int32 = 4) throws {
        self.record = record
        switch record.cache.dtype {
        case "float32": type = .float
        case "uint8": type = .uInt8
        default: throw ModelError("unknown cache type \(record.cache.dtype)")
        }
        setenv("ORT_DISABLE_TELEMETRY", "1", 0)  // else it reports what runs here to its maker
        environment = try ORTEnv(loggingLevel: .error)
        let options = try ORTSessionOptions()
        try options.setIntraOpNumThreads(threads)
        try options.setGraphOptimizationLevel(.none)  // the graph is written as the optimizer leaves it
        session = try ORTSession(env: environment, modelPath: folder.appendingPathComponent(record.graph).path,
                                 sessionOptions: options)
        outputs = Set(["logits"] + record.cache.tensors.map(\.present))
        past = try empty()
    }

    /// Makes the cache hold these tokens, computing only what follows the longest beginning that it holds already; where tokens
    /// can't be taken back, it keeps all that it holds or nothing.
    /// Returns the logits after the last token.
    public func hold(_ ids: [Int]) throws -> [Float] {
        var common = 0
        while common < min(tokens.count, ids.count - 1), tokens[common] == ids[common] { common += 1 }
        if !record.cache.oneRowEach, common < tokens.count { common = 0 }
        try rewind(tokens.count - common)
        return try append(Array(ids[common...]))
    }

    /// Appends tokens, 32 at a time; logits after the last of them.
    public func append(_ ids: [Int]) throws -> [Float] {
        guard !ids.isEmpty else { throw ModelError("there are no tokens to run") }
        guard tokens.count + ids.count <= record.contextLength else {
            throw ModelError("\(tokens.count + ids.count) tokens don't fit the context of \(record.contextLength)")
        }
        var row: [Float] = []
        for start in stride(from: 0, to: ids.count, by: Self.step) {
            row = try autoreleasepool { try run(Array(ids[start..<min(start + Self.step, ids.count)])) }
        }
        return row
    }

    /// Drops the last `count` tokens: as many as one likes where each has one row in every tensor, else all or none.
    public func rewind(_ count: Int) throws {
        guard count > 0 else { return }
        let kept = tokens.count - count
        guard kept >= 0 else { throw ModelError("can't drop \(count) of \(tokens.count) tokens") }
        guard kept == 0 || record.cache.oneRowEach else {
            throw ModelError("can't drop \(count) of \(tokens.count) tokens: rows of this cache are gone")
        }
        past = kept == 0 ? try empty() : try zip(record.cache.tensors, past).map { tensor, value in
            let data = try value.tensorData()
            let perHead = data.length / tensor.heads
            let keptPerHead = perHead / tokens.count * kept
            let cut = NSMutableData(capacity: keptPerHead * tensor.heads)!
            for head in 0..<tensor.heads {
                cut.append(data.subdata(with: NSRange(location: head * perHead, length: keptPerHead)))
            }
            return try self.value(cut, type, [1, tensor.heads, kept, tensor.width])
        }
        tokens.removeLast(count)
    }

    private func run(_ ids: [Int]) throws -> [Float] {
        let total = tokens.count + ids.count
        var inputs = [
            "input_ids": try integers(ids.map(Int64.init)),
            "attention_mask": try integers(Array(repeating: 1, count: total - 1) + [record.maskKeepsLogits == true ? 2 : 1]),
            "position_ids": try integers((tokens.count..<total).map(Int64.init)),
        ]
        for (tensor, value) in zip(record.cache.tensors, past) { inputs[tensor.past] = value }
        let found = try session.run(withInputs: inputs, outputNames: outputs, runOptions: nil)
        guard let logits = try found["logits"]?.tensorData() else { throw ModelError("the graph gave no logits") }
        let presents = record.cache.tensors.compactMap { found[$0.present] }
        guard presents.count == record.cache.tensors.count else { throw ModelError("the graph gave no cache") }
        past = presents
        tokens += ids
        let width = record.vocabSize * MemoryLayout<Float>.size
        let last = logits.subdata(with: NSRange(location: logits.length - width, length: width))
        return last.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }

    private func empty() throws -> [ORTValue] {
        try record.cache.tensors.map { try value(NSMutableData(length: 1)!, type, [1, $0.heads, 0, $0.width]) }
    }

    private func integers(_ values: [Int64]) throws -> ORTValue {
        let data = values.withUnsafeBytes { NSMutableData(bytes: $0.baseAddress, length: $0.count) }
        return try value(data, .int64, [1, values.count])
    }

    private func value(_ data: NSMutableData, _ type: ORTTensorElementDataType, _ shape: [Int]) throws -> ORTValue {
        try ORTValue(tensorData: data, elementType: type, shape: shape.map { NSNumber(value: $0) })
    }
}
