import Foundation
import YoutuCore

// What the core makes of the shared vectors, on a Mac:  swift run Steps FOLDER ../../../tests/vectors/youtu_nano.json
// Prints how many of each kind are right, and ends with 1 where one isn't.

struct Vectors: Decodable {
    struct Text: Decodable { let text: String, ids: [Int] }
    struct Greedy: Decodable { let text: String, ids: [Int], tokens: [Int] }
    let texts: [Text], literals: [Text], greedy: [Greedy]
}

let folder = URL(fileURLWithPath: CommandLine.arguments[1])
let vectors = try JSONDecoder().decode(Vectors.self, from: Data(contentsOf: URL(fileURLWithPath: CommandLine.arguments[2])))
let chat = try Chat(folder)
let greedy = Sampling(temperature: 0, topK: 0, topP: 1)
var wrong = 0

func tell(_ name: String, _ right: [Bool]) {
    print("\(name): \(right.filter { $0 }.count) of \(right.count)")
    wrong += right.filter { !$0 }.count
}

for (name, texts) in [("texts", vectors.texts), ("literals", vectors.literals)] {
    tell(name, try texts.map {
        try chat.tokenizer.encode($0.text, special: true) == $0.ids && chat.tokenizer.bytes($0.ids) == Array($0.text.utf8)
    })
}
tell("prompts", try vectors.greedy.map { try chat.prompt([Turn(user: true, text: $0.text)]) == $0.ids })
tell("greedy", try vectors.greedy.map { one in
    let reply = try chat.reply(one.ids, mostTokens: one.tokens.count, sampling: greedy)
    return one.tokens.starts(with: reply.tokens) && one.tokens.count - reply.tokens.count == (reply.ended ? 1 : 0)
})
exit(wrong == 0 ? 0 : 1)
