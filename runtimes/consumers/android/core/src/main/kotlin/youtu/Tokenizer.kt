package youtu

import java.io.File

/**
 * A byte-level BPE from `tokenizer.json`: text to token ids and back, exactly as Hugging Face's tokenizers does it for the
 * pre-tokenizers that Youtu-LLM has (a sequence of `Split`s that isolate, then `ByteLevel` without a regex of its own).
 * Anything else in the file is refused rather than done differently.
 */
class Tokenizer private constructor(
    private val vocabulary: Map<String, Int>, private val ranks: Map<Pair<String, String>, Int>, private val splits: List<Regex>,
    private val added: Map<String, Int>, private val ignoreMerges: Boolean,
) {
    private val texts = HashMap<Int, String>().also { all -> vocabulary.forEach { (text, id) -> all[id] = text } }
    private val addedTexts = added.entries.associate { it.value to it.key }
    private val addedPattern =
        added.keys.sortedByDescending { it.length }.joinToString("|") { Regex.escape(it) }.ifEmpty { null }?.let(::Regex)
    private val known = HashMap<String, IntArray>()

    /** Token ids of a text. `special`: literals of added tokens stand for the tokens, as in what a template wrote. */
    fun encode(text: String, special: Boolean): List<Int> {
        val ids = ArrayList<Int>()
        if (!special || addedPattern == null) return ids.also { plain(text, it) }
        var from = 0
        for (match in addedPattern.findAll(text)) {
            plain(text.substring(from, match.range.first), ids)
            ids.add(added.getValue(match.value))
            from = match.range.last + 1
        }
        plain(text.substring(from), ids)
        return ids
    }

    /** The bytes that ids stand for; what a single token decodes to may be part of a character. */
    fun bytes(ids: List<Int>): ByteArray {
        val made = java.io.ByteArrayOutputStream()
        for (id in ids) {
            val literal = addedTexts[id]
            if (literal != null) made.write(literal.toByteArray())
            else for (character in texts[id] ?: throw ModelException("token $id is not in the vocabulary"))
                made.write(BYTES.getValue(character))
        }
        return made.toByteArray()
    }

    fun decode(ids: List<Int>): String = bytes(ids).toString(Charsets.UTF_8)

    private fun plain(text: String, into: MutableList<Int>) {
        if (text.isEmpty()) return
        var pieces = listOf(text)
        for (split in splits) pieces = pieces.flatMap { isolate(it, split) }
        for (piece in pieces) {
            val bytes = piece.toByteArray()
            merge(String(CharArray(bytes.size) { CHARACTERS[bytes[it].toInt() and 0xff] })).forEach(into::add)
        }
    }

    /** Matches and what lies between them, each a piece. */
    private fun isolate(text: String, pattern: Regex): List<String> {
        val pieces = ArrayList<String>()
        var from = 0
        for (match in pattern.findAll(text)) {
            if (match.value.isEmpty()) continue
            if (match.range.first > from) pieces.add(text.substring(from, match.range.first))
            pieces.add(match.value)
            from = match.range.last + 1
        }
        if (from < text.length) pieces.add(text.substring(from))
        return pieces
    }

    /** Joins the neighbours of the lowest rank, leftmost first, until none has a rank. */
    private fun merge(word: String): IntArray = known[word] ?: run {
        val whole = vocabulary[word]
        val parts = if (ignoreMerges && whole != null) mutableListOf(word) else word.map { it.toString() }.toMutableList()
        while (parts.size > 1) {
            var best = -1
            var lowest = Int.MAX_VALUE
            for (i in 0 until parts.size - 1) {
                val rank = ranks[Pair(parts[i], parts[i + 1])] ?: continue
                if (rank < lowest) { lowest = rank; best = i }
            }
            if (best < 0) break
            parts[best] = parts[best] + parts.removeAt(best + 1)
        }
        val ids = IntArray(parts.size) {
            vocabulary[parts[it]] ?: throw ModelException("tokenizer.json has no token for '${parts[it]}'")
        }
        if (known.size < KEPT) known[word] = ids
        ids
    }

    companion object {
        private const val KEPT = 20_000

        /** GPT-2's printable stand-in for each byte. */
        private val CHARACTERS = CharArray(256).also { table ->
            var next = 256
            for (byte in 0..255) {
                val printable = byte in 0x21..0x7e || byte in 0xa1..0xac || byte in 0xae..0xff
                table[byte] = if (printable) byte.toChar() else (next++).toChar()
            }
        }
        private val BYTES = CHARACTERS.withIndex().associate { (byte, character) -> character to byte }

        /** @throws ModelException the file is damaged, or asks for what this tokenizer doesn't do. */
        fun open(file: File): Tokenizer {
            val fields = Json.parse(file.readText()).fields
            val model = fields.getValue("model").fields
            require(model.getValue("type").text == "BPE" && fields["normalizer"] == Json.Null, "a normalizer or no BPE")
            for (option in listOf("byte_fallback", "fuse_unk")) require(model[option]?.isTrue != true, option)
            for (option in listOf("dropout", "continuing_subword_prefix", "end_of_word_suffix")) {
                val value = model[option]
                require(value == null || value == Json.Null || value == Json.Text(""), option)
            }
            val merges = model.getValue("merges").items.mapIndexed { rank, pair ->
                val (left, right) = if (pair is Json.Items) pair.items.map { it.text } else pair.text.split(" ")
                Pair(left, right) to rank
            }.toMap()
            val added = fields.getValue("added_tokens").items.map { it.fields }
            for (token in added) for (option in listOf("single_word", "lstrip", "rstrip"))
                require(token[option]?.isTrue != true, "an added token with $option")
            return Tokenizer(
                model.getValue("vocab").fields.mapValues { it.value.int }, merges,
                splits(fields.getValue("pre_tokenizer").fields),
                added.associate { it.getValue("content").text to it.getValue("id").int }, model["ignore_merges"]?.isTrue == true)
        }

        private fun splits(pre: Map<String, Json>): List<Regex> {
            val steps = if (pre.getValue("type").text == "Sequence") pre.getValue("pretokenizers").items.map { it.fields }
                else listOf(pre)
            val last = steps.last()
            require(last.getValue("type").text == "ByteLevel" && last["use_regex"]?.isTrue != true
                && last["add_prefix_space"]?.isTrue != true, "a ByteLevel with options, or none")
            return steps.dropLast(1).map { step ->
                require(step.getValue("type").text == "Split" && step["invert"]?.isTrue != true
                    && step.getValue("behavior") == Json.Text("Isolated"), "a pre-tokenizer that is no isolating Split")
                Regex(javaPattern(step.getValue("pattern").fields.getValue("Regex").text))
            }
        }

        /** `\s` is Unicode's white space in the file's regex dialect, and ASCII's on the JVM. Android's ICU takes this, too. */
        private fun javaPattern(pattern: String): String {
            val made = StringBuilder()
            var inClass = false
            var at = 0
            while (at < pattern.length) {
                val one = pattern[at]
                if (one == '\\') {
                    made.append(if (pattern.startsWith("\\s", at)) (if (inClass) SPACES else "[$SPACES]")
                        else if (pattern.startsWith("\\S", at)) (if (inClass) fail("\\S inside a class") else "[^$SPACES]")
                        else pattern.substring(at, minOf(at + 2, pattern.length)))
                    at += 2
                    continue
                }
                if (one == '[') inClass = true
                if (one == ']') inClass = false
                made.append(one)
                at++
            }
            return made.toString()
        }

        private const val SPACES = "\\x09-\\x0d\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"

        private fun require(holds: Boolean, what: String) {
            if (!holds) fail(what)
        }

        private fun fail(what: String): Nothing =
            throw ModelException("tokenizer.json has $what, which this tokenizer doesn't do")
    }
}
