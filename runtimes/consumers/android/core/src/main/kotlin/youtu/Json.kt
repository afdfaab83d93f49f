package youtu

/**
 * JSON text as a tree. Of its own because a tokenizer with 128,000 entries has to be read on phones without a library, and
 * Android's `org.json` is a stub on the machine where the core is tested. Objects keep their order.
 */
sealed interface Json {
    data class Text(val value: String) : Json
    data class Number(val value: String) : Json
    data class Bool(val value: Boolean) : Json
    data class Items(val values: List<Json>) : Json
    data class Fields(val values: Map<String, Json>) : Json
    data object Null : Json

    val text get() = (this as? Text)?.value ?: wrong("text")
    val number get() = (this as? Number)?.value?.toDouble() ?: wrong("a number")
    val int get() = (this as? Number)?.value?.toIntOrNull() ?: wrong("a whole number")
    val long get() = (this as? Number)?.value?.toLongOrNull() ?: wrong("a whole number")
    val items get() = (this as? Items)?.values ?: wrong("a list")
    val fields get() = fieldsOrNull ?: wrong("an object")
    val fieldsOrNull get() = (this as? Fields)?.values
    val isTrue get() = this == Bool(true)
    val isFalse get() = this == Bool(false)

    private fun wrong(expected: String): Nothing =
        throw ModelException("JSON holds ${this::class.simpleName}; expected $expected")

    companion object {
        /** @throws ModelException the text is no JSON; the message names the place. */
        fun parse(text: String): Json = Reader(text).whole()
    }

    private class Reader(private val text: String) {
        private var at = 0

        fun whole(): Json {
            val value = value(0)
            skip()
            return if (at == text.length) value else fail("more after the end")
        }

        private fun value(depth: Int): Json {
            if (depth > 64) fail("nested too deep")
            skip()
            return when (val next = peek()) {
                '{' -> fields(depth)
                '[' -> items(depth)
                '"' -> Text(string())
                't' -> word("true", Bool(true))
                'f' -> word("false", Bool(false))
                'n' -> word("null", Null)
                else -> if (next == '-' || next in '0'..'9') number() else fail("unexpected '$next'")
            }
        }

        private fun fields(depth: Int): Json {
            val found = LinkedHashMap<String, Json>()
            list('}') {
                skip()
                if (peek() != '"') fail("expected a name")
                val name = string()
                skip()
                take(':')
                found[name] = value(depth + 1)
            }
            return Fields(found)
        }

        private fun items(depth: Int): Json {
            val found = ArrayList<Json>()
            list(']') { found.add(value(depth + 1)) }
            return Items(found)
        }

        private fun list(end: Char, one: () -> Unit) {
            at++
            skip()
            if (peek() == end) { at++; return }
            while (true) {
                one()
                skip()
                if (peek() == end) { at++; return }
                take(',')
            }
        }

        private fun string(): String {
            val start = ++at
            while (peek() != '"' && text[at] != '\\') at++
            if (text[at] == '"') return text.substring(start, at++)
            val made = StringBuilder(text.substring(start, at))
            while (true) {
                when (val next = peek()) {
                    '"' -> { at++; return made.toString() }
                    '\\' -> { at++; made.append(escaped()) }
                    else -> { made.append(next); at++ }
                }
            }
        }

        private fun escaped(): Char {
            val kind = peek()
            at++
            return when (kind) {
                'n' -> '\n'
                't' -> '\t'
                'r' -> '\r'
                'b' -> '\b'
                'f' -> '\u000c'
                '"', '\\', '/' -> kind
                'u' -> {
                    val code = text.substring(at, minOf(at + 4, text.length)).toIntOrNull(16) ?: fail("a bad \\u")
                    at += 4
                    code.toChar()
                }
                else -> fail("unknown escape \\$kind")
            }
        }

        private fun number(): Json {
            val start = at
            while (at < text.length && text[at] in "+-0123456789.eE") at++
            val found = text.substring(start, at)
            return if (found.toDoubleOrNull() == null) fail("'$found' is no number") else Number(found)
        }

        private fun word(word: String, value: Json): Json {
            if (!text.startsWith(word, at)) fail("unexpected word")
            at += word.length
            return value
        }

        private fun take(expected: Char) {
            if (peek() != expected) fail("expected '$expected'")
            at++
        }

        private fun peek(): Char = if (at < text.length) text[at] else fail("the text ends")

        private fun skip() {
            while (at < text.length && text[at] in " \t\r\n") at++
        }

        private fun fail(what: String): Nothing = throw ModelException("not JSON at character $at: $what")
    }
}
