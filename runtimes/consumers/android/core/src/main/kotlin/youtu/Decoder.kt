package youtu

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import java.io.File
import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.LongBuffer
import java.nio.channels.FileChannel

/**
 * One sequence of tokens in a cache, and the logits that follow it. Presents of a step are the pasts of the next and never
 * leave ONNX Runtime, but when tokens are dropped.
 *
 * Not for several threads at once.
 *
 * @param threads of the CPU; phones have a few fast cores, and waiting for the slow ones costs more than they give.
 * @throws ModelException ONNX Runtime can't open the graph.
 */
class Decoder(folder: File, private val record: Record, threads: Int = 4) : AutoCloseable {
    private val environment = OrtEnvironment.getEnvironment()
    private val mapped: ByteBuffer?
    private val session: OrtSession
    private val type = TYPES[record.cacheType] ?: throw ModelException("unknown cache type ${record.cacheType}")
    private var past: List<OnnxTensor>
    private val held = ArrayList<Int>()

    /** The tokens in the cache. */
    val tokens: List<Int> get() = held

    init {
        environment.setTelemetry(false)
        val graph = File(folder, record.graph)
        OrtSession.SessionOptions().use { options ->
            options.setIntraOpNumThreads(threads)
            options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.NO_OPT) // it is written as the optimizer leaves it
            try {
                if (graph.extension == "ort") {
                    // without these two, ONNX Runtime reads the file into memory and copies each tensor out of it
                    options.addConfigEntry("session.use_ort_model_bytes_directly", "1")
                    options.addConfigEntry("session.use_ort_model_bytes_for_initializers", "1")
                    mapped = RandomAccessFile(graph, "r").use { it.channel.map(FileChannel.MapMode.READ_ONLY, 0, it.length()) }
                    session = environment.createSession(mapped, options)
                } else {
                    mapped = null
                    session = environment.createSession(graph.path, options) // by path: the data file lies beside it
                }
            } catch (error: OrtException) {
                val versions = "it needs ONNX Runtime ${record.onnxruntime}, and this is ${environment.version}"
                throw ModelException("can't open $graph ($versions): ${error.message}", error)
            }
        }
        past = empty()
    }

    /**
     * Makes the cache hold these tokens, computing only what follows the longest beginning that it holds already; where tokens
     * can't be taken back, it keeps all that it holds or nothing.
     * @return logits after the last token.
     * @throws ModelException no tokens, or more than the context has room for.
     */
    fun hold(ids: List<Int>): FloatArray {
        if (ids.isEmpty()) throw ModelException("there are no tokens to run")
        var common = 0
        while (common < minOf(held.size, ids.size - 1) && held[common] == ids[common]) common++
        if (!record.oneRowEach && common < held.size) common = 0
        rewind(held.size - common)
        return append(ids.subList(common, ids.size))
    }

    /** Appends tokens, [STEP] at a time; logits after the last of them. Throws as [hold] does. */
    fun append(ids: List<Int>): FloatArray {
        if (ids.isEmpty()) throw ModelException("there are no tokens to run")
        if (held.size + ids.size > record.contextLength)
            throw ModelException("${held.size + ids.size} tokens don't fit the context of ${record.contextLength}")
        return ids.chunked(STEP).map(::step).last()
    }

    /** Drops the last `count` tokens: as many as one likes where each has one row in every tensor, else all or none. */
    fun rewind(count: Int) {
        if (count < 0 || count > held.size) throw ModelException("can't drop $count of ${held.size} tokens")
        if (count == 0) return
        val kept = held.size - count
        if (kept > 0 && !record.oneRowEach)
            throw ModelException("can't drop $count of ${held.size} tokens: rows of this cache are gone")
        val shorter = if (kept == 0) empty() else record.cache.zip(past).map { (tensor, value) -> cut(tensor, value, kept) }
        past.forEach(OnnxTensor::close)
        past = shorter
        repeat(count) { held.removeAt(held.size - 1) }
    }

    override fun close() {
        past.forEach(OnnxTensor::close)
        session.close()
    }

    private fun step(ids: List<Int>): FloatArray {
        val total = held.size + ids.size
        val inputs = HashMap<String, OnnxTensor>()
        val own = ArrayList<OnnxTensor>()
        fun give(name: String, values: LongArray) =
            inputs.put(name, OnnxTensor.createTensor(environment, LongBuffer.wrap(values), longArrayOf(1, values.size.toLong()))
                .also(own::add))
        give("input_ids", LongArray(ids.size) { ids[it].toLong() })
        // 1 + k at its end asks for logits of the last k positions only
        give("attention_mask", LongArray(total) { if (record.maskKeepsLogits && it == total - 1) 2 else 1 })
        give("position_ids", LongArray(ids.size) { (held.size + it).toLong() })
        record.cache.zip(past).forEach { (tensor, value) -> inputs[tensor.past] = value }
        val result = try {
            session.run(inputs)
        } catch (error: OrtException) {
            throw ModelException("ONNX Runtime can't run the model: ${error.message}", error)
        } finally {
            own.forEach(OnnxTensor::close)
        }
        val logits = result.get("logits").get() as OnnxTensor
        val row = FloatArray(record.vocabSize)
        logits.floatBuffer.apply { position(limit() - record.vocabSize) }.get(row)
        logits.close()
        val presents = record.cache.map { result.get(it.present).get() as OnnxTensor }
        past.forEach(OnnxTensor::close)
        past = presents
        held.addAll(ids)
        return row
    }

    private fun empty() = record.cache.map { OnnxTensor.createTensor(environment, buffer(0), shape(it, 0), type) }

    /** The first `kept` rows of each head. */
    private fun cut(tensor: CacheTensor, value: OnnxTensor, kept: Int): OnnxTensor {
        val from = value.byteBuffer
        val perHead = from.remaining() / tensor.heads.toInt()
        val keptPerHead = perHead / held.size * kept
        val into = buffer(keptPerHead * tensor.heads.toInt())
        for (head in 0 until tensor.heads.toInt()) {
            from.limit(head * perHead + keptPerHead).position(head * perHead)
            into.put(from)
        }
        into.rewind()
        return OnnxTensor.createTensor(environment, into, shape(tensor, kept), type)
    }

    private fun buffer(size: Int) = ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder())

    private fun shape(tensor: CacheTensor, rows: Int) = longArrayOf(1, tensor.heads, rows.toLong(), tensor.width)

    companion object {
        /** New tokens of a step. Steps of 64 and more would make every head's keys and values of the whole cache. */
        const val STEP = 32
        private val TYPES =
            mapOf("float32" to OnnxJavaType.FLOAT, "float16" to OnnxJavaType.FLOAT16, "uint8" to OnnxJavaType.UINT8)
    }
}
