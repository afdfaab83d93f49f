/* Runs a graph with native operators in ONNX Runtime for Windows, through its C interface.
 *
 *     windows_session.exe ONNXRUNTIME.dll KERNELS.dll MODEL.onnx OUTPUT THREADS < INPUTS
 *
 * A line of INPUTS is a name, an element type of ONNX, a rank, a shape, and numbers for int64; other types are zeros. It prints
 * OUTPUT, which is float.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

enum { OF_FLOAT = 1, OF_INT64 = 7, MOST = 256 };
enum {
    GetErrorMessage = 2,
    CreateEnv = 3,
    CreateSession = 7,
    Run = 9,
    CreateSessionOptions = 10,
    SetIntraOpNumThreads = 24,
    CreateTensorWithDataAsOrtValue = 49,
    GetTensorMutableData = 51,
    GetTensorShapeElementCount = 64,
    GetTensorTypeAndShape = 65,
    CreateCpuMemoryInfo = 69,
    RegisterCustomOpsLibrary_V2 = 228,
};

static void *const *api;

/* Functions of the table, by their places in it; what they return is NULL or an error. */
#define CALL(name, types, ...) checked(#name, ((void *(*)types)api[name])(__VA_ARGS__))

static void checked(const char *name, void *status) {
    if (!status) return;
    printf("%s: %s\n", name, ((const char *(*)(void *))api[GetErrorMessage])(status));
    exit(1);
}

static void *found(HMODULE library, const char *name) {
    void *made = library ? (void *)GetProcAddress(library, name) : NULL;
    if (!made) printf("%s: error %lu\n", name, GetLastError()), exit(1);
    return made;
}

int main(int count, char **words) {
    if (count != 6) return 2;
    void *const *base = ((void *const *(*)(void))found(LoadLibraryA(words[1]), "OrtGetApiBase"))();
    api = ((void *const *(*)(uint32_t))base[0])(17);
    void *environment, *options, *session, *memory, *made = NULL, *shape;
    wchar_t kernels[MAX_PATH], model[MAX_PATH];
    MultiByteToWideChar(CP_UTF8, 0, words[2], -1, kernels, MAX_PATH);
    MultiByteToWideChar(CP_UTF8, 0, words[3], -1, model, MAX_PATH);
    CALL(CreateEnv, (int, const char *, void **), 3, "windows", &environment);
    CALL(CreateSessionOptions, (void **), &options);
    CALL(SetIntraOpNumThreads, (void *, int), options, atoi(words[5]));
    CALL(RegisterCustomOpsLibrary_V2, (void *, const wchar_t *), options, kernels);
    CALL(CreateSession, (void *, const wchar_t *, void *, void **), environment, model, options, &session);
    CALL(CreateCpuMemoryInfo, (int, int, void **), 1, 0, &memory);

    static char names[MOST][128];
    const char *inputs[MOST], *outputs[1] = {words[4]};
    void *values[MOST];
    size_t given = 0;
    int type, rank;
    while (given < MOST && scanf("%127s %d %d", names[given], &type, &rank) == 3) {
        int64_t dimensions[8], size = 1;
        for (int i = 0; i < rank; i++) {
            if (scanf("%lld", (long long *)&dimensions[i]) != 1) return 2;
            size *= dimensions[i];
        }
        const size_t bytes = (size_t)size * (type == OF_INT64 ? 8 : type == OF_FLOAT ? 4 : 1);
        int64_t *data = calloc(1, bytes + 8);
        for (int64_t i = 0; type == OF_INT64 && i < size; i++)
            if (scanf("%lld", (long long *)&data[i]) != 1) return 2;
        inputs[given] = names[given];
        CALL(CreateTensorWithDataAsOrtValue, (void *, void *, size_t, const int64_t *, size_t, int, void **), memory, data, bytes,
             dimensions, (size_t)rank, type, &values[given]);
        given++;
    }
    CALL(Run, (void *, void *, const char *const *, void *const *, size_t, const char *const *, size_t, void **), session, NULL, inputs,
         values, given, outputs, 1, &made);
    float *data;
    size_t size;
    CALL(GetTensorMutableData, (void *, void **), made, (void **)&data);
    CALL(GetTensorTypeAndShape, (void *, void **), made, &shape);
    CALL(GetTensorShapeElementCount, (void *, size_t *), shape, &size);
    for (size_t i = 0; i < size; i++) printf("%.9g\n", data[i]);
    return 0;
}
