// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "YoutuCore",
    platforms: [.iOS(.v16), .macOS(.v14)],
    products: [.library(name: "YoutuCore", targets: ["YoutuCore"])],
    dependencies: [
        .package(url: "https://github.com/microsoft/onnxruntime-swift-package-manager", from: "1.24.2"),
    ],
    targets: [
        .target(name: "YoutuCore", dependencies: [.product(name: "onnxruntime", package: "onnxruntime-swift-package-manager")]),
        .executableTarget(name: "Steps", dependencies: ["YoutuCore"]),
    ]
)
