package youtu

import java.io.File

/** A cache tensor: `[1, heads, rows, width]` under its past name in, as the step leaves it under its present name out. */
data class CacheTensor(val past: String, val present: String, val heads: Long, val width: Long)

/** What a chat template writes around messages; control tokens' literals in it stand for the tokens. */
data class ChatFrame(
    val user: String, val system: String, val userAfterSystem: String, val reply: String, val nextUser: String,
    val generate: String, val generateWithoutThinking: String,
)

/** How tokens are chosen: a temperature of 0 is greedy, `topK` 0 and `topP` 1 leave all tokens in. */
data class Sampling(val temperature: Double, val topK: Int, val topP: Double)

/**
 * `model.json` of a folder that `youtu-onnx mobile` wrote. `onnxruntime`: the oldest that opens it; `chat` is null
 * where the model has no template, or too rich a one; `maskKeepsLogits`: whether a last column of 1 + k in the mask asks for
 * logits of the last k positions only; `oneRowEach`: whether every cache tensor has one row for each token, so that the last
 * tokens can be taken back.
 */
data class Record(
    val graph: String, val onnxruntime: String, val vocabSize: Int, val contextLength: Int, val endTokens: Set<Int>,
    val chat: ChatFrame?, val sampling: Sampling, val cacheType: String, val cache: List<CacheTensor>,
    val sizes: Map<String, Long>, val maskKeepsLogits: Boolean = false, val oneRowEach: Boolean = true,
) {
    companion object {
        const val NAME = "model.json"
        private const val FORMAT_VERSION = 1

        /**
         * Reads the record, and sees that every file it lists is there in its size.
         * @throws ModelException no such folder, a newer format, or a file that was not copied whole.
         */
        fun read(folder: File): Record {
            val file = File(folder, NAME)
            if (!file.isFile) throw ModelException("$folder has no $NAME: copy the folder that youtu-onnx mobile wrote")
            val fields = Json.parse(file.readText()).fields
            val version = fields.getValue("format_version").int
            if (version != FORMAT_VERSION)
                throw ModelException("$file has format version $version; this app reads $FORMAT_VERSION")
            val cache = fields.getValue("cache").fields
            val sampling = fields.getValue("sampling").fields
            val sizes = fields.getValue("files").fields.mapValues { it.value.fields.getValue("size").long }
            for ((name, size) in sizes) {
                val found = File(folder, name).length()
                if (found != size) throw ModelException("$name has $found bytes; expected $size: copy the folder again")
            }
            return Record(
                fields.getValue("graph").text, fields.getValue("onnxruntime").text,
                fields.getValue("vocab_size").int, fields.getValue("context_length").int,
                fields.getValue("end_token_ids").items.map { it.int }.toSet(), fields["chat"]?.fieldsOrNull?.let(::frame),
                Sampling(sampling.getValue("temperature").number, sampling.getValue("top_k").int,
                    sampling.getValue("top_p").number),
                cache.getValue("dtype").text, cache.getValue("tensors").items.map { tensor(it.fields) }, sizes,
                fields["mask_keeps_logits"]?.isTrue == true,
                listOf("uniform", "rewindable").none { cache[it]?.isFalse == true }, // older records don't say, and have no other
            )
        }

        private fun tensor(fields: Map<String, Json>) = CacheTensor(
            fields.getValue("past").text, fields.getValue("present").text, fields.getValue("heads").long,
            fields.getValue("width").long)

        private fun frame(fields: Map<String, Json>): ChatFrame {
            fun text(name: String) = fields.getValue(name).text
            return ChatFrame(text("user"), text("system"), text("user_after_system"), text("reply"), text("next_user"),
                text("generate"), text("generate_without_thinking"))
        }
    }
}

/** Something is wrong with the model's folder, or the conversation is too long for it; the message is for people. */
class ModelException(message: String, cause: Throwable? = null) : Exception(message, cause)
