package youtu.app

import android.app.Activity
import android.os.Bundle
import android.view.ViewGroup.LayoutParams.MATCH_PARENT
import android.view.ViewGroup.LayoutParams.WRAP_CONTENT
import android.widget.Button
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.ScrollView
import android.widget.TextView
import java.io.File
import java.util.concurrent.Executors
import java.util.concurrent.atomic.AtomicBoolean
import youtu.Chat
import youtu.ModelException
import youtu.Turn

/** A conversation on one page. The model runs on a thread of its own, one request after another. */
class ChatActivity : Activity() {
    private val worker = Executors.newSingleThreadExecutor()
    private val stopped = AtomicBoolean(false)
    private val turns = ArrayList<Turn>() // the worker's
    private var chat: Chat? = null // the worker's
    private lateinit var shown: TextView
    private lateinit var scroll: ScrollView
    private lateinit var input: EditText
    private lateinit var send: Button
    private var running = false

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        shown = TextView(this).apply { textSize = 16f; setTextIsSelectable(true); setPadding(24, 24, 24, 24) }
        scroll = ScrollView(this).apply { addView(shown) }
        input = EditText(this).apply { hint = "Message"; maxLines = 4 }
        send = Button(this).apply { text = "Send"; setOnClickListener { if (running) stopped.set(true) else ask() } }
        val row = LinearLayout(this).apply {
            addView(input, LinearLayout.LayoutParams(0, WRAP_CONTENT, 1f))
            addView(send)
        }
        setContentView(LinearLayout(this).apply {
            orientation = LinearLayout.VERTICAL
            fitsSystemWindows = true
            addView(scroll, LinearLayout.LayoutParams(MATCH_PARENT, 0, 1f))
            addView(row)
        })
        open(File(getExternalFilesDir(null), "model"))
    }

    override fun onDestroy() {
        stopped.set(true)
        worker.execute { chat?.close(); chat = null }
        worker.shutdown()
        super.onDestroy()
    }

    private fun open(folder: File) = work("opening $folder …\n") {
        val started = System.nanoTime()
        chat = Chat.open(folder)
        show("ready after %.1f s\n".format((System.nanoTime() - started) / 1e9))
    }

    private fun ask() {
        val text = input.text.toString().trim()
        if (text.isEmpty()) return
        input.text.clear()
        work("\n› $text\n") {
            val model = chat ?: throw ModelException("no model is open")
            val asked = turns + Turn(true, text)
            val started = System.nanoTime()
            val reply = model.reply(model.prompt(asked), goOn = { !stopped.get() }, onText = ::show)
            turns += listOf(Turn(true, text), Turn(false, reply.answer))
            val seconds = (System.nanoTime() - started) / 1e9
            show("\n[%d tokens, %.1f s]\n".format(reply.tokens.size, seconds))
        }
    }

    /** Shows a line, then runs work on the model's thread; what goes wrong is shown. */
    private fun work(line: String, task: () -> Unit) {
        show(line)
        running = true
        stopped.set(false)
        send.text = "Stop"
        worker.execute {
            try {
                task()
            } catch (error: ModelException) {
                show("\n${error.message}\n")
            } finally {
                runOnUiThread { running = false; send.text = "Send" }
            }
        }
    }

    private fun show(text: String) = runOnUiThread {
        shown.append(text)
        scroll.post { scroll.fullScroll(ScrollView.FOCUS_DOWN) }
    }
}
