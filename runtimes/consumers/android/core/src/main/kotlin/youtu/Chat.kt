package youtu

import java.io.File
import java.nio.ByteBuffer
import java.nio.CharBuffer
import java.nio.charset.CodingErrorAction
import kotlin.math.exp
import kotlin.random.Random

/** A message of the user or a reply; replies in a history are without their thinking. */
data class Turn(val user: Boolean, val text: String)

/** What the model wrote. `ended`: it came to its own end, else it was stopped or the context is full. */
data class Reply(val text: String, val tokens: List<Int>, val ended: Boolean) {
    /** The text without its thinking: what belongs into the history. */
    val answer get() = when {
        "</think>" in text -> text.substringAfter("</think>").trimStart()
        "<think>" in text -> "" // it was stopped while it thought
        else -> text
    }
}

/** A folder that `youtu-onnx mobile` wrote, ready to talk. Not for several threads at once. */
class Chat private constructor(
    val record: Record, private val frame: ChatFrame, val tokenizer: Tokenizer, val decoder: Decoder,
) : AutoCloseable {
    /**
     * The tokens of a conversation, the last of which is the user's. What people wrote never becomes a control token.
     * @throws ModelException it doesn't end with the user, or two of one side follow each other.
     */
    fun prompt(turns: List<Turn>, system: String = "", thinking: Boolean = true): List<Int> {
        if (turns.size % 2 == 0 || turns.withIndex().any { (index, turn) -> turn.user != (index % 2 == 0) })
            throw ModelException("a conversation starts and ends with the user, and both sides take turns")
        val ids = ArrayList<Int>()
        var fixed = if (system.isEmpty()) frame.user else frame.system
        fun said(text: String, then: String) {
            ids += tokenizer.encode(fixed, special = true)
            ids += tokenizer.encode(text, special = false)
            fixed = then
        }
        if (system.isNotEmpty()) said(system, frame.userAfterSystem)
        val end = if (thinking) frame.generate else frame.generateWithoutThinking
        for ((index, turn) in turns.withIndex())
            said(turn.text, if (index == turns.size - 1) end else if (turn.user) frame.reply else frame.nextUser)
        return ids + tokenizer.encode(fixed, special = true)
    }

    /**
     * Writes a reply, telling its text as it comes.
     * @param goOn asked before each token; false ends the reply.
     */
    fun reply(prompt: List<Int>, mostTokens: Int = 1024, sampling: Sampling = record.sampling, random: Random = Random.Default,
              goOn: () -> Boolean = { true }, onText: (String) -> Unit = {}): Reply {
        var logits = decoder.hold(prompt)
        val tokens = ArrayList<Int>()
        val text = Utf8Stream(onText)
        val room = minOf(mostTokens, record.contextLength - prompt.size)
        while (tokens.size < room && goOn()) {
            val next = choose(logits, sampling, random)
            if (next in record.endTokens) return Reply(text.end(), tokens, true)
            tokens.add(next)
            text.add(tokenizer.bytes(listOf(next)))
            if (tokens.size < room) logits = decoder.append(listOf(next))
        }
        return Reply(text.end(), tokens, false)
    }

    override fun close() = decoder.close()

    companion object {
        /** @throws ModelException the folder is damaged, or its model has no chat template that phones can follow. */
        fun open(folder: File, threads: Int = 4): Chat {
            val record = Record.read(folder)
            val frame = record.chat ?: throw ModelException("this model has no chat template that can be followed without Jinja")
            return Chat(record, frame, Tokenizer.open(File(folder, "tokenizer.json")), Decoder(folder, record, threads))
        }

        /** The next token: temperature, then the likeliest `topK`, of these the fewest with `topP`, then chance. */
        fun choose(logits: FloatArray, sampling: Sampling, random: Random): Int {
            if (sampling.temperature == 0.0) return logits.indices.maxByOrNull { logits[it] }!!
            var order = logits.indices.sortedByDescending { logits[it] }
            if (sampling.topK > 0) order = order.take(sampling.topK)
            val weights = order.map { exp((logits[it] - logits[order[0]]) / sampling.temperature) }
            val all = weights.sum()
            var kept = 0
            var sum = 0.0
            while (kept < order.size && (kept == 0 || sum < sampling.topP * all)) sum += weights[kept++]
            var point = random.nextDouble() * sum
            for (index in 0 until kept) {
                point -= weights[index]
                if (point < 0) return order[index]
            }
            return order[kept - 1]
        }
    }
}

/** Bytes to text, holding back the beginning of a character that isn't whole yet. */
private class Utf8Stream(private val onText: (String) -> Unit) {
    private val decoder = Charsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPLACE)
        .onUnmappableCharacter(CodingErrorAction.REPLACE)
    private val text = StringBuilder()
    private var rest = ByteArray(0)

    fun add(bytes: ByteArray) = decode(bytes, false)

    fun end(): String {
        decode(ByteArray(0), true)
        return text.toString()
    }

    private fun decode(bytes: ByteArray, last: Boolean) {
        val input = ByteBuffer.wrap(rest + bytes)
        val output = CharBuffer.allocate(input.remaining() + 1)
        decoder.decode(input, output, last)
        rest = ByteArray(input.remaining()).also(input::get)
        val made = output.flip().toString()
        text.append(made)
        if (made.isNotEmpty()) onText(made)
    }
}
