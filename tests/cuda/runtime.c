// A CUDA runtime, driver, cuBLAS, cuDNN and NVML that only count. PyTorch's real CUDA backend runs on it: memory of a card
// is memory of the host, copies are real, kernels are not run. What the host checks is checked for real: devices, types,
// layouts, the allocator, streams, graph capture, which card gets a context. Numbers mean nothing: it shows paths, launches
// and syncs, never results.
//
// What the environment says of the cards; lists have a value a card, with commas:
//   CARD_COUNT (1), CARD_CC (90, list), CARD_MEMORY (MB, 16384), CARD_FREE (MB, list), CARD_MIG (cards in MIG mode, list of
//   0 and 1), CARD_LOST and CARD_FORBIDDEN (a card), CARD_BUSY (a card that gives no context: another process has it alone) with CARD_BUSY_CODE (46; 2:
//   no memory left), CARD_INIT (an error of the whole driver: 35 too old, 802, 803), CARD_DRIVER (13000),
//   CARD_FAIL_AFTER launches with CARD_FAIL_CODE (710 assert, 214 ECC), CARD_TRACE (a file that gets a line a context).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <driver_types.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vector_types.h>

#define API __attribute__((visibility("default")))
#define NOTHING(name) API int name() { return 0; }
#define MOST 16
#define MB (1l << 20)

static long item(const char *name, int index, long otherwise) {
  const char *text = getenv(name);
  for (; text && *text && index; index--) text = (text = strchr(text, ',')) ? text + 1 : 0;
  return text && *text ? atol(text) : otherwise;
}
static long setting(const char *name, long otherwise) { return item(name, 0, otherwise); }
static int cards(void) { return setting("CARD_COUNT", 1); }
static int capability(int card) { return item("CARD_CC", card, setting("CARD_CC", 90)); }

// What was asked for, while somebody records.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *calls[1 << 18];
static int call_count, recording, launches;
API void counting_record(int on) { recording = on; if (on) call_count = 0; }
API int counting_count(void) { return call_count; }
API const char *counting_call(int index) { return calls[index]; }
static void note(const char *call) {
  pthread_mutex_lock(&lock);
  if (recording && call_count < 1 << 18) calls[call_count++] = call;
  pthread_mutex_unlock(&lock);
}

// Errors: the last one, and one that stays, as after an assert on the card.
static __thread int last_error;
static int lasting_error;
static int fail(int error) { return last_error = error; }
API int counting_unknown(void) { return lasting_error; }  // of every function that is not here

// Cards that CUDA_VISIBLE_DEVICES shows, by their places in it.
static int seen[MOST], seen_count = -1;
static void name_card(char *text, int card) { sprintf(text, "GPU-%08x-1111-2222-3333-444455556666", card + 1); }
static void name_part(char *text, int card) { sprintf(text, "MIG-%08x-1111-2222-3333-444455556666", card + 1); }
static int card_of(const char *word) {
  char name[64];
  for (int card = 0; card < cards(); card++) {
    name_card(name, card);
    if (!strncmp(word, "GPU-", 4) && !strncmp(word, name, strlen(word))) return card;
    name_part(name, card);
    if (!strncmp(word, "MIG-", 4) && !strncmp(word, name, strlen(word))) return card;
  }
  return *word >= '0' && *word <= '9' && atoi(word) < cards() ? atoi(word) : -1;
}
static void look(void) {
  if (seen_count >= 0) return;
  seen_count = 0;
  const char *visible = getenv("CUDA_VISIBLE_DEVICES");
  char words[256], *rest = words, *word;
  snprintf(words, sizeof words, "%s", visible ? visible : "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15");
  while ((word = strsep(&rest, ",")) && card_of(word) >= 0) seen[seen_count++] = card_of(word);
}

// Contexts.
static __thread int current;
static int context[MOST];
API int counting_context(int card) { return context[card]; }
static int touch(void) {
  look();
  if (lasting_error) return fail(lasting_error);
  int card = seen[current];
  if (context[card]) return 0;
  if (card == setting("CARD_BUSY", -1)) return fail(setting("CARD_BUSY_CODE", 46));
  context[card] = 1;
  FILE *trace = getenv("CARD_TRACE") ? fopen(getenv("CARD_TRACE"), "a") : 0;
  if (trace) fprintf(trace, "%d %d\n", getpid(), card), fclose(trace);
  return 0;
}
#define TOUCH do { int error = touch(); if (error) return error; } while (0)

// Graph capture: one stream, and what it forbids.
static void *capturing;
static int capture_broken;
static unsigned long long capture_id;
static __thread int capture_mode = cudaStreamCaptureModeGlobal;
static int unsafe(const char *call) {
  if (!capturing || capture_mode == cudaStreamCaptureModeRelaxed) return 0;
  note(call);
  capture_broken = 1;
  return fail(900);
}
#define UNSAFE(name) do { int error = unsafe("UNSAFE " name); if (error) return error; } while (0)

// Memory.
struct range { char *start; size_t size; int kind, card; struct range *next; };  // kind: 1 pinned, 2 of a card
static struct range *ranges;
static size_t used[MOST];
static void remember(void *start, size_t size, int kind) {
  struct range *made = malloc(sizeof *made);
  *made = (struct range){start, size, kind, seen[current], ranges};
  ranges = made;
}
static struct range *find(const void *place) {
  struct range *one = ranges;
  while (one && !((char *)place >= one->start && (char *)place < one->start + one->size)) one = one->next;
  return one;
}
static size_t memory_free(int card) {
  long megabytes = item("CARD_FREE", card, setting("CARD_MEMORY", 16384) - 500);
  return megabytes * MB > (long)used[card] ? megabytes * MB - used[card] : 0;
}
API int cudaMalloc(void **place, size_t size) {
  TOUCH;
  UNSAFE("cudaMalloc");
  note("MALLOC");
  if (size > memory_free(seen[current])) return fail(2);
  char *made = calloc(1, size + 1024);  // large pieces take no memory before they are written
  *place = (void *)(((uintptr_t)made + 511) & ~511ul);
  pthread_mutex_lock(&lock);
  used[seen[current]] += size;
  remember(*place, size, 2);
  pthread_mutex_unlock(&lock);
  return 0;
}
API int cudaHostAlloc(void **place, size_t size, unsigned flags) {
  TOUCH;
  *place = calloc(1, size + 64);
  pthread_mutex_lock(&lock);
  remember(*place, size, 1);
  pthread_mutex_unlock(&lock);
  return 0;
}
API int cudaFree(void *place) {  // what it lay in is kept: somebody may still look
  pthread_mutex_lock(&lock);
  for (struct range **one = &ranges; *one; one = &(*one)->next)
    if ((*one)->start == place) {
      if ((*one)->kind == 2) used[(*one)->card] -= (*one)->size;
      *one = (*one)->next;
      break;
    }
  pthread_mutex_unlock(&lock);
  return lasting_error;
}
API int cudaFreeHost(void *place) { return cudaFree(place); }
API int cudaMemGetInfo(size_t *left, size_t *total) {
  TOUCH;
  *total = setting("CARD_MEMORY", 16384) * MB;
  *left = memory_free(seen[current]);
  return 0;
}
API int cudaPointerGetAttributes(struct cudaPointerAttributes *found, const void *place) {
  pthread_mutex_lock(&lock);
  struct range *one = find(place);
  pthread_mutex_unlock(&lock);
  memset(found, 0, sizeof *found);
  found->type = !one ? cudaMemoryTypeUnregistered : one->kind == 2 ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
  found->devicePointer = found->hostPointer = (void *)place;
  return 0;
}
static int copy(void *to, const void *from, size_t size, int kind) {
  TOUCH;
  memmove(to, from, size);
  note(kind == 1 ? "COPY h2d" : kind == 2 ? "COPY d2h" : "COPY");
  if (kind != 2) return 0;
  // No kernel filled what is read: a truth is true, a number 0, and the sums of an objective are means of 1.
  if (size == 1) *(char *)to = 1;
  if (size == 4 || size == 8) memset(to, 0, size);
  if (size == 24 || size == 40 || size == 56) for (size_t place = 0; place < size / 8; place++) ((double *)to)[place] = 1;
  return 0;
}
API int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) { return copy(to, from, size, kind); }
API int cudaMemcpy(void *to, const void *from, size_t size, int kind) {
  UNSAFE("cudaMemcpy");
  note("SYNC");
  return copy(to, from, size, kind);
}
API int cudaMemcpyPeerAsync(void *to, int b, const void *from, int a, size_t size, void *stream) { return copy(to, from, size, 3); }
API int cudaMemsetAsync(void *place, int value, size_t size, void *stream) {
  TOUCH;
  note("MEMSET");
  memset(place, value, size);
  return 0;
}
API int cudaMemset(void *place, int value, size_t size) { return cudaMemsetAsync(place, value, size, 0); }

// Devices.
API int cudaGetDeviceCount(int *count) {
  look();
  *count = seen_count;
  if (setting("CARD_INIT", 0)) return fail(setting("CARD_INIT", 0));
  return seen_count ? 0 : fail(100);
}
API int cudaGetDevice(int *device) { *device = current; return 0; }
API int cudaSetDevice(int device) {
  look();
  if (device < 0 || device >= seen_count) return fail(101);
  current = device;
  return touch();
}
API int cudaGetDeviceProperties(struct cudaDeviceProp *found, int device) {
  look();
  if (device < 0 || device >= seen_count) return fail(101);
  int card = seen[device];
  if (card == setting("CARD_LOST", -1)) return fail(999);
  memset(found, 0, sizeof *found);
  sprintf(found->name, "Counting Card %d", card);
  found->uuid.bytes[3] = card + 1;
  found->major = capability(card) / 10, found->minor = capability(card) % 10;
  found->totalGlobalMem = setting("CARD_MEMORY", 16384) * MB;
  found->warpSize = 32, found->multiProcessorCount = 132, found->unifiedAddressing = 1;
  found->maxThreadsPerBlock = found->maxThreadsDim[0] = found->maxThreadsDim[1] = 1024, found->maxThreadsDim[2] = 64;
  found->maxGridSize[0] = 2147483647, found->maxGridSize[1] = found->maxGridSize[2] = 65535;
  found->sharedMemPerBlock = 49152, found->sharedMemPerBlockOptin = 232448, found->sharedMemPerMultiprocessor = 233472;
  found->regsPerBlock = found->regsPerMultiprocessor = 65536, found->maxThreadsPerMultiProcessor = 2048;
  found->maxBlocksPerMultiProcessor = 32, found->l2CacheSize = 50 * MB, found->totalConstMem = 65536;
  found->textureAlignment = 512, found->concurrentKernels = 1, found->memoryBusWidth = 5120, found->pciBusID = card + 1;
  return 0;
}
API int cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
  struct cudaDeviceProp known;
  int error = cudaGetDeviceProperties(&known, device);
  if (error) return error;
  switch ((int)attribute) {
    case 1: case 2: case 3: *value = 1024; break;
    case 4: *value = 64; break;
    case 5: *value = 2147483647; break;
    case 6: case 7: *value = 65535; break;
    case 8: *value = 49152; break;
    case 10: *value = 32; break;
    case 12: case 82: *value = 65536; break;
    case 16: *value = 132; break;
    case 39: *value = 2048; break;
    case 75: *value = known.major; break;
    case 76: *value = known.minor; break;
    case 81: *value = 233472; break;
    case 97: *value = 232448; break;
    default: *value = 1;
  }
  return 0;
}
API int cudaDriverGetVersion(int *version) { *version = setting("CARD_DRIVER", 13000); return 0; }
API int cudaRuntimeGetVersion(int *version) { *version = VERSION; return 0; }
API int cudaDeviceCanAccessPeer(int *can, int a, int b) { *can = 1; return 0; }
API int cudaDeviceGetPCIBusId(char *text, int size, int device) { snprintf(text, size, "0000:%02x:00.0", seen[device] + 1); return 0; }
API int cudaDeviceGetStreamPriorityRange(int *least, int *most) { *least = 0, *most = -5; return 0; }
API int cudaDeviceSynchronize(void) { UNSAFE("cudaDeviceSynchronize"); note("SYNC"); TOUCH; return 0; }
API int cudaGetLastError(void) { int error = lasting_error ? lasting_error : last_error; last_error = 0; return error; }
API int cudaPeekAtLastError(void) { return lasting_error ? lasting_error : last_error; }
static const char *in_words(const char *function, int error) {  // the real runtime knows them
  const char *(*real)(int) = dlsym(RTLD_NEXT, function);
  return real ? real(error) : "an error";
}
API const char *cudaGetErrorString(int error) { return in_words("cudaGetErrorString", error); }
API const char *cudaGetErrorName(int error) { return in_words("cudaGetErrorName", error); }

// Kernels, by the names under which they are registered.
#define SLOTS (1u << 20)
static const void *kernels[SLOTS];
static const char *kernel_names[SLOTS];
static unsigned slot(const void *kernel) {
  unsigned place = ((uintptr_t)kernel * 0x9E3779B97F4A7C15ul) >> 44;
  while (kernels[place] && kernels[place] != kernel) place = (place + 1) % SLOTS;
  return place;
}
API void **__cudaRegisterFatBinary(void *code) { static void *handle; return &handle; }
API void __cudaRegisterFunction(void **handle, const char *host, char *fun, const char *name, int limit, void *a, void *b, void *c, void *d, int *e) {
  unsigned place = slot(host);
  kernels[place] = host, kernel_names[place] = name;
}
API int __cudaGetKernel(void **kernel, const void *function) { *kernel = (void *)function; return 0; }
static __thread struct { dim3 grid, block; size_t shared; void *stream; } configuration;
API unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void *stream) {
  configuration.grid = grid, configuration.block = block, configuration.shared = shared, configuration.stream = stream;
  return 0;
}
API int __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream) {
  *grid = configuration.grid, *block = configuration.block, *shared = configuration.shared;
  *(void **)stream = configuration.stream;
  return 0;
}
static int launch(const char *name) {
  TOUCH;
  note(name);
  long after = setting("CARD_FAIL_AFTER", -1);
  if (after >= 0 && ++launches > after) lasting_error = setting("CARD_FAIL_CODE", 710);  // noticed at the next call
  return 0;
}
static int launch_kernel(const void *kernel) {
  const char *name = kernel_names[slot(kernel)];
  return launch(name ? name : "LAUNCH");
}
API int cudaLaunchKernel(const void *kernel, dim3 grid, dim3 block, void **a, size_t shared, void *stream) { return launch_kernel(kernel); }
API int __cudaLaunchKernel(const void *kernel, dim3 grid, dim3 block, void **a, size_t shared, void *stream) { return launch_kernel(kernel); }
API int cudaLaunchKernelExC(const void *how, const void *kernel, void **a) { return launch_kernel(kernel); }
API int cudaFuncGetAttributes(struct cudaFuncAttributes *found, const void *kernel) {
  memset(found, 0, sizeof *found);
  found->maxThreadsPerBlock = 1024, found->numRegs = 32, found->maxDynamicSharedSizeBytes = 49152;
  found->binaryVersion = found->ptxVersion = 90;
  return 0;
}
API int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *kernel, int size, size_t shared, unsigned flags) { *blocks = 2; return 0; }

// Streams, events, graphs.
static void *fresh(void) { return calloc(1, 4096); }
API int cudaStreamCreateWithPriority(void **stream, unsigned flags, int priority) { TOUCH; *stream = fresh(); return 0; }
API int cudaStreamCreateWithFlags(void **stream, unsigned flags) { TOUCH; *stream = fresh(); return 0; }
API int cudaStreamCreate(void **stream) { TOUCH; *stream = fresh(); return 0; }
API int cudaStreamSynchronize(void *stream) { UNSAFE("cudaStreamSynchronize"); note("SYNC"); TOUCH; return 0; }
API int cudaStreamQuery(void *stream) { UNSAFE("cudaStreamQuery"); return lasting_error; }
API int cudaEventQuery(void *event) { UNSAFE("cudaEventQuery"); return lasting_error; }
API int cudaEventSynchronize(void *event) { UNSAFE("cudaEventSynchronize"); note("SYNC"); return lasting_error; }
API int cudaEventCreateWithFlags(void **event, unsigned flags) { TOUCH; *event = fresh(); return 0; }
API int cudaEventCreate(void **event) { TOUCH; *event = fresh(); return 0; }
API int cudaEventElapsedTime(float *milliseconds, void *a, void *b) { *milliseconds = 1; return 0; }
static int capture_state(void *stream) { return !capturing || stream != capturing ? 0 : capture_broken ? 2 : 1; }
API int cudaStreamIsCapturing(void *stream, int *state) {
  TOUCH;  // as libcudart 13 does: whoever asks for the legacy stream gets a context
  *state = capture_state(stream);
  return capturing && !stream && capture_mode == cudaStreamCaptureModeGlobal ? fail(906) : 0;
}
API int cudaStreamGetCaptureInfo(void *stream, int *state, unsigned long long *id, void **graph, void **nodes, void **edges, size_t *count) {
  TOUCH;
  *state = capture_state(stream);
  if (id) *id = capture_id;
  if (graph) *graph = &capture_id;
  if (nodes) *nodes = 0;
  if (edges) *edges = 0;
  if (count) *count = 0;
  return 0;
}
API int cudaThreadExchangeStreamCaptureMode(int *mode) { int before = capture_mode; capture_mode = *mode; *mode = before; return 0; }
API int cudaStreamBeginCapture(void *stream, int mode) {
  capturing = stream, capture_broken = 0, capture_id++;
  note("CAPTURE begin");
  return 0;
}
API int cudaStreamEndCapture(void *stream, void **graph) {
  capturing = 0;
  note("CAPTURE end");
  *graph = capture_broken ? 0 : fresh();
  return capture_broken ? fail(901) : 0;
}
API int cudaGraphInstantiateWithFlags(void **ready, void *graph, unsigned long long flags) { *ready = fresh(); return 0; }
API int cudaGraphLaunch(void *ready, void *stream) { return launch("REPLAY"); }
API int cudaGraphGetNodes(void *graph, void *nodes, size_t *count) { *count = 1; return 0; }

// The driver, of which PyTorch asks little beside the runtime.
API int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
  look();
  *flags = 0, *active = device < seen_count && context[seen[device]];
  return 0;
}
NOTHING(counting_nothing)
API int cudaGetDriverEntryPointByVersion(const char *name, void **found, unsigned version, unsigned long long flags, int *result) {
  if (result) *result = 0;
  *found = strcmp(name, "cuDevicePrimaryCtxGetState") ? (void *)counting_nothing : (void *)cuDevicePrimaryCtxGetState;
  return 0;
}
API int cuCtxGetCurrent(void **found) { *found = (void *)1; return 0; }
API int cuDriverGetVersion(int *version) { return cudaDriverGetVersion(version); }
API int cuDeviceGetCount(int *count) { return cudaGetDeviceCount(count); }
NOTHING(cuInit)

// cuBLAS and cuDNN: handles, and products and convolutions that are one launch each.
#define HANDLE(name) API int name(void **made) { *made = fresh(); return 0; }
#define LAUNCH(name) API int name(void) { return launch("LAUNCH " #name); }
API int cublasCreate_v2(void **made) { TOUCH; *made = fresh(); return 0; }
API int cudnnCreate(void **made) { TOUCH; *made = fresh(); return 0; }
API int cublasGetPointerMode_v2(void *handle, int *mode) { *mode = 0; return 0; }
static int math_mode;  // cublasMath_t: 3 takes TF32
API int counting_math_mode(void) { return math_mode; }
API int cublasGetMathMode(void *handle, int *mode) { *mode = math_mode; return 0; }
API int cublasSetMathMode(void *handle, int mode) { math_mode = mode; return 0; }
HANDLE(cublasLtMatmulDescCreate) HANDLE(cublasLtMatrixLayoutCreate) HANDLE(cublasLtMatmulPreferenceCreate)
API int cublasLtMatmulAlgoGetHeuristic(void *a, void *b, void *c, void *d, void *e, void *f, void *g, int wanted, void *found, int *count) { *count = 1; return 0; }
LAUNCH(cublasLtMatmul) LAUNCH(cublasSgemm_v2) LAUNCH(cublasDgemm_v2) LAUNCH(cublasGemmEx) LAUNCH(cublasSgemmStridedBatched)
LAUNCH(cublasGemmStridedBatchedEx) LAUNCH(cublasSgemv_v2) LAUNCH(cublasSdot_v2) LAUNCH(cublasDotEx)
API size_t cudnnGetVersion(void) { return 92400; }
API size_t cudnnGetCudartVersion(void) { return VERSION; }
API int cudnnGetProperty(int kind, int *value) { *value = kind == 0 ? 9 : kind == 1 ? 24 : 0; return 0; }
API const char *cudnnGetErrorString(int error) { return "counted"; }
HANDLE(cudnnCreateTensorDescriptor) HANDLE(cudnnCreateFilterDescriptor) HANDLE(cudnnCreateConvolutionDescriptor)
HANDLE(cudnnCreateActivationDescriptor)
API int cudnnBackendCreateDescriptor(int kind, void **made) { *made = fresh(); return 0; }
API int cudnnBackendGetAttribute(void *of, int name, int kind, int64_t wanted, int64_t *count, void *found) {
  int plans = name == 201, values = found && wanted && (kind == 0 || kind == 3 || kind == 7);  // handles and numbers
  if (values && !plans) memset(found, 0, 8);
  if (count) *count = plans || values || (found && wanted && kind == 15);
  return 0;
}
LAUNCH(cudnnBackendExecute) LAUNCH(cudnnBatchNormalizationForwardTrainingEx) LAUNCH(cudnnBatchNormalizationBackwardEx)
LAUNCH(cudnnBatchNormalizationForwardInference)
API int cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(void *a, int b, int c, void *d, void *e, void *f, void *g, void *h, size_t *size) { *size = 0; return 0; }
API int cudnnGetBatchNormalizationBackwardExWorkspaceSize(void *a, int b, int c, void *d, void *e, void *f, void *g, void *h, void *i, void *j, size_t *size) { *size = 0; return 0; }
API int cudnnGetBatchNormalizationTrainingExReserveSpaceSize(void *a, int b, int c, void *d, void *e, size_t *size) { *size = 0; return 0; }

// NVML: the same cards, as nvidia-smi sees them. A handle is a card and 1; of a part of one in MIG mode, and 101.
#define CARD_OF(handle) ((int)(intptr_t)(handle) % 100 - 1)
#define IS_PART(handle) ((intptr_t)(handle) > 100)
API int nvmlInitWithFlags(unsigned flags) { return setting("CARD_INIT", 0) == 803 ? 18 : 0; }
NOTHING(nvmlInit_v2) NOTHING(nvmlShutdown)
API int nvmlDeviceGetHandleByPciBusId_v2(const char *text, void **found) {
  *found = (void *)strtol(text + 5, 0, 16);
  return 0;
}
API int nvmlDeviceGetComputeRunningProcesses(void *handle, unsigned *count, void *found) { *count = 0; return 0; }
#define KEPT(handle) (CARD_OF(handle) == setting("CARD_BUSY", -1) && setting("CARD_BUSY_CODE", 46) == 46)
API int nvmlDeviceGetComputeMode(void *handle, int *mode) { *mode = KEPT(handle) ? 3 : 0; return 0; }
API int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, void *found) {
  struct { unsigned pid; unsigned long long memory; unsigned instance, part; } one = {1, MB, 0, 0};
  unsigned room = *count;
  *count = KEPT(handle);
  if (room < *count) return 7;
  if (*count) memcpy(found, &one, sizeof one);
  return 0;
}
NOTHING(nvmlDeviceGetNvLinkRemoteDeviceType) NOTHING(nvmlDeviceGetNvLinkRemotePciInfo_v2)
API int nvmlSystemGetCudaDriverVersion_v2(int *version) { return cudaDriverGetVersion(version); }
API const char *nvmlErrorString(int error) { return "counted"; }
API int nvmlDeviceGetCount_v2(unsigned *count) { *count = cards(); return 0; }
API int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **found) {
  if ((int)index == setting("CARD_LOST", -1)) return 15;
  if ((int)index == setting("CARD_FORBIDDEN", -1)) return 4;
  *found = (void *)(intptr_t)(index + 1);
  return 0;
}
API int nvmlDeviceGetName(void *handle, char *text, unsigned size) {
  snprintf(text, size, "Counting Card %d%s", CARD_OF(handle), IS_PART(handle) ? " MIG 1g.5gb" : "");
  return 0;
}
API int nvmlDeviceGetUUID(void *handle, char *text, unsigned size) {
  (IS_PART(handle) ? name_part : name_card)(text, CARD_OF(handle));
  return 0;
}
API int nvmlDeviceGetMemoryInfo(void *handle, unsigned long long *memory) {  // total, free, used
  memory[0] = setting("CARD_MEMORY", 16384) * MB, memory[1] = memory_free(CARD_OF(handle));
  memory[2] = memory[0] - memory[1];
  return 0;
}
API int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
  *major = capability(CARD_OF(handle)) / 10, *minor = capability(CARD_OF(handle)) % 10;
  return 0;
}
API int nvmlDeviceGetMigMode(void *handle, unsigned *now, unsigned *soon) {
  *now = *soon = getenv("CARD_MIG") && item("CARD_MIG", CARD_OF(handle), 0);
  return 0;
}
API int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count) { *count = 7; return 0; }
API int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **found) {
  *found = (void *)((intptr_t)handle + 100);
  return index ? 6 : 0;  // one part a card
}
