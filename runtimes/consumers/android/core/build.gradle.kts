plugins { id("org.jetbrains.kotlin.jvm") }

kotlin { jvmToolchain(17) }

dependencies {
    // the same classes as onnxruntime-android's; the app brings the library for phones
    compileOnly("com.microsoft.onnxruntime:onnxruntime:1.29.0")
}
