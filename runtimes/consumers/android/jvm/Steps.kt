import java.io.File
import youtu.Chat
import youtu.Decoder
import youtu.Json
import youtu.Record
import youtu.Sampling
import youtu.Tokenizer
import youtu.Turn

/**
 * What the core makes of the shared vectors, for a desktop JVM: one line of JSON on stdout for each of
 * `texts`, `literals`, `chats`, `greedy`, `rewound` and `logits`.
 *
 *     java -cp … StepsKt FOLDER VECTORS.json
 *
 * With a number behind, it only says what so many tokens cost in memory.
 */
fun main(args: Array<String>) {
    val folder = File(args[0])
    if (args.size == 3) return memory(folder, args[2].toInt())
    val vectors = Json.parse(File(args[1]).readText()).fields
    val record = Record.read(folder)
    val tokenizer = Tokenizer.open(File(folder, "tokenizer.json"))
    for (kind in listOf("texts", "literals")) {
        val entries = vectors.getValue(kind).items.map { it.fields }
        say(kind, entries.map { tokenizer.encode(it.getValue("text").text, special = true) })
        check(entries.all { tokenizer.decode(it.getValue("ids").items.map(Json::int)) == it.getValue("text").text })
    }
    Chat.open(folder).use { chat ->
        say("chats", vectors.getValue("chats").items.map { it.fields }.map { entry ->
            val options = entry.getValue("options").fields
            val messages = entry.getValue("messages").items.map { it.fields }
            val plain = options.keys.all { it == "enable_thinking" } && messages.none { "reasoning_content" in it }
            if (!plain) emptyList() else {
                val system = messages.filter { it.getValue("role").text == "system" }.joinToString { it.getValue("content").text }
                val turns = messages.filter { it.getValue("role").text != "system" }.map {
                    val text = it.getValue("content").text
                    val user = it.getValue("role").text == "user"
                    Turn(user, if (user) text else youtu.Reply(text, emptyList(), true).answer)
                }
                chat.prompt(turns, system, options["enable_thinking"]?.isTrue != false)
            }
        })
        val greedy = Sampling(0.0, 0, 1.0)
        val prompts = vectors.getValue("greedy").items.map { entry -> entry.fields.getValue("ids").items.map(Json::int) }
        val most = vectors.getValue("greedy").items.maxOf { it.fields.getValue("tokens").items.size }
        say("greedy", prompts.map { ids ->
            chat.reply(ids, most, greedy).let { if (it.ended) it.tokens + record.endTokens else it.tokens }
        })
        // once more, with another prompt's cache to drop and a part of it to keep
        say("rewound", prompts.reversed().map { ids -> chat.reply(ids, most, greedy).tokens })
        val rows = prompts.map { ids -> chat.decoder.rewind(chat.decoder.tokens.size); chat.decoder.append(ids) }
        println("""{"logits": [${rows.joinToString { it.joinToString(",", "[", "]") }}]}""")
    }
}

/** Opens the graph, appends tokens and one more, and says what Linux holds for this process, in kB. */
private fun memory(folder: File, tokens: Int) {
    fun held() = File("/proc/self/status").readLines().filter { it.startsWith("Rss") || it.startsWith("VmHWM") }
        .joinToString { "\"${it.substringBefore(':')}\": ${it.filter(Char::isDigit)}" }
    println("{\"before\": {${held()}}}")
    val started = System.nanoTime()
    Decoder(folder, Record.read(folder), threads = 2).use { decoder ->
        println("{\"opened\": {${held()}, \"seconds\": ${(System.nanoTime() - started) / 1e9}}}")
        decoder.append(List(tokens) { it % 32 * 7 % 1000 })
        decoder.append(listOf(5))
        println("{\"after steps\": {${held()}}}")
    }
}

private fun say(name: String, ids: List<List<Int>>) = println("""{"$name": $ids}""")
