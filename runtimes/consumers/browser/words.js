// What the page says, in English and Chinese.

export const WORDS = {
  en: {
    title: "{name} in your browser", tagline: "The model runs on this machine. Nothing you write leaves it.",
    open: "Open a bundle", choose: "Choose a folder that youtu-onnx export wrote; it is read here and sent nowhere.",
    loading: "Loading", placeholder: "Write a message", send: "Send", stop: "Stop", fresh: "New conversation",
    think: "Think first", thinking: "Thinking…", thought: "Thoughts", steps: "Steps", greedy: "Likeliest words", defaults: "Model's defaults",
    warm: "Livelier", tokens: "tokens", rate: "tokens/s", kept: "of cached rows kept", stopped: "stopped", cut: "length limit", language: "中文",
    examples: {
      youtu: ["What is 47 + 38?", "Sort: pear, fig, apple.", "Say hello."],
      microreason: ["Solve 6y+1=2y-71.", "What is the base 9 number 281 in decimal?", "Find the maximum of 160, 592, 323, 144, 535, 39."],
    },
  },
  zh: {
    title: "在浏览器里运行 {name}", tagline: "模型在本机运行，你写的内容不会离开这台设备。",
    open: "打开模型包", choose: "选择 youtu-onnx export 写出的文件夹；只在本机读取，不会上传。",
    loading: "正在加载", placeholder: "输入消息", send: "发送", stop: "停止", fresh: "新对话",
    think: "先思考", thinking: "思考中…", thought: "思考过程", steps: "步骤", greedy: "最可能的词", defaults: "模型默认",
    warm: "更活泼", tokens: "个词元", rate: "词元/秒", kept: "的缓存行保留", stopped: "已停止", cut: "达到长度上限", language: "English",
    examples: {
      youtu: ["计算 25 + 17。", "33 ÷ 4 = ?", "你好"],
      microreason: ["92和94的最大公因数是几？", "化简9/18。", "设p为假，r为假，判断(!(p | r)) | (r | r)的真假。"],
    },
  },
};

/** What families call themselves on the page. */
export const NAMES = { youtu: "Youtu", microreason: "MicroReason" };

/** The language that was chosen before, else the browser's. */
export function firstLanguage() {
  let chosen = null;
  try {
    chosen = localStorage.getItem("language");
  } catch {
    // storage may be switched off; the browser's language will do
  }
  return WORDS[chosen] ? chosen : navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export function rememberLanguage(language) {
  try {
    localStorage.setItem("language", language);
  } catch {
    // it is asked for again next time
  }
}
