/* What a step on a CPU does between its products, each in one pass over memory, and dense networks as a whole; in
 * float32.
 *
 * Every value is rounded as PyTorch's own operators round it one after the other, so that a training has the same bits
 * with these and without: no -ffast-math, and -ffp-contract=off.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Where a lane is below `least` a value is dropped. Times 1 or 0, as PyTorch's masks are: what is no number stays none. */
#define KEPT(lanes, place) ((lanes)[place] >= least ? 1.0f : 0.0f)

/* max(x, 0), and NaN for NaN. */
static inline float rectified(float x) { return x < 0.0f ? 0.0f : x; }

/* The bytes of `count` images of `size` values, those at `places` or else the first ones, as 0..1. */
void take_images(const uint8_t *images, const int64_t *places, long count, long size, float *taken)
{
    for (long image = 0; image < count; image++) {
        const uint8_t *bytes = images + (places ? places[image] : image) * size;
        for (long value = 0; value < size; value++)
            taken[image * size + value] = (float)bytes[value] / 255.0f;
    }
}

/* How many values of each image of `size` differ once both are rounded to 0 or 1; and all differences, where there is a
 * place for them. */
void compare_images(const float *ours, const float *theirs, long images, long size, float *wrong, float *difference)
{
    for (long image = 0; image < images; image++) {
        const float *a = ours + image * size, *b = theirs + image * size;
        int32_t count = 0;
        for (long value = 0; value < size; value++)
            count += (a[value] > 0.5f) != (b[value] > 0.5f);
        wrong[image] = (float)count;
        for (long value = 0; difference && value < size; value++)
            difference[image * size + value] = a[value] - b[value];
    }
}

/* Dropout of `count` values, or of their gradients. */
void drop(const float *x, const int16_t *lanes, long count, int least, float scale, float *kept)
{
    for (long place = 0; place < count; place++)
        kept[place] = x[place] * scale * KEPT(lanes, place);
}

/* A ReLU of `count` values, and dropout where there are lanes; `kept` may be x itself. */
void rectify_drop(const float *x, const int16_t *lanes, long count, int least, float scale, float *kept)
{
    if (lanes)
        for (long place = 0; place < count; place++)
            kept[place] = rectified(x[place]) * scale * KEPT(lanes, place);
    else
        for (long place = 0; place < count; place++)
            kept[place] = rectified(x[place]);
}

/* Its gradient, which passes where something was kept; it may be the one that is given. */
void rectify_drop_gradient(const float *given, const float *kept, long count, float scale, float *gradient)
{
    for (long place = 0; place < count; place++)
        gradient[place] = (kept[place] <= 0.0f ? 0.0f : given[place]) * scale;
}

#define NOWHERE 4

/* `rectify_drop`, and then the maximum of each 2x2 values, of images (height, width, channels). `places` says which of
 * the four went on, the first one among equals, and NOWHERE for a 0, through which no gradient passes.
 *
 * In rows of floats, which a compiler turns into vectors; a loop over channels that mixes types would want 64 of them. */
void rectify_drop_pool(const float *x, const int16_t *lanes, long images, long height, long width, long channels,
                       int least, float scale, float *pooled, uint8_t *places)
{
    const long length = width * channels, halved = width / 2 * channels;
    float rows[2 * length], best[halved];
    for (long image = 0; image < images; image++, x += height * length, lanes += lanes ? height * length : 0)
        for (long row = 0; row < height / 2; row++, pooled += halved, places += halved) {
            const float *from = x + 2 * row * length;
            if (lanes)
                for (long at = 0; at < 2 * length; at++)
                    rows[at] = rectified(from[at]) * scale * KEPT(lanes + 2 * row * length, at);
            else
                for (long at = 0; at < 2 * length; at++)
                    rows[at] = rectified(from[at]);
            for (long column = 0; column < width / 2; column++) {
                const float *a = rows + 2 * column * channels, *b = a + channels, *c = a + length, *d = b + length;
                float *most = pooled + column * channels, *place = best + column * channels;
                for (long at = 0; at < channels; at++) {
                    float value = a[at], which = 0.0f;
                    int more = (b[at] > value) | (b[at] != b[at]);
                    value = more ? b[at] : value, which = more ? 1.0f : which;
                    more = (c[at] > value) | (c[at] != c[at]);
                    value = more ? c[at] : value, which = more ? 2.0f : which;
                    more = (d[at] > value) | (d[at] != d[at]);
                    value = more ? d[at] : value, which = more ? 3.0f : which;
                    most[at] = value;
                    place[at] = value <= 0.0f ? NOWHERE : which;
                }
            }
            for (long at = 0; at < halved; at++)
                places[at] = (uint8_t)best[at];
        }
}

/* Its gradient: that of a maximum goes to where it came from. Everything else is 0, and written too. */
void rectify_drop_pool_gradient(const float *given, const uint8_t *places, long images, long height, long width,
                                long channels, float scale, float *gradient)
{
    const long length = width * channels, halved = width / 2 * channels;
    float passed[halved], best[halved];
    for (long image = 0; image < images; image++, gradient += height * length) {
        for (long row = 0; row < height / 2; row++, given += halved, places += halved) {
            for (long at = 0; at < halved; at++)
                passed[at] = given[at] * scale, best[at] = places[at];
            for (long side = 0; side < 2; side++) {
                float *to = gradient + (2 * row + side) * length;
                const float left = 2 * side, right = left + 1;
                for (long column = 0; column < width / 2; column++, to += 2 * channels) {
                    const float *value = passed + column * channels, *place = best + column * channels;
                    for (long at = 0; at < channels; at++)
                        to[at] = place[at] == left ? value[at] : 0.0f;
                    for (long at = 0; at < channels; at++)
                        to[channels + at] = place[at] == right ? value[at] : 0.0f;
                }
                for (long at = 0; at < width % 2 * channels; at++)
                    to[at] = 0.0f;
            }
        }
        for (long at = 0; at < height % 2 * length; at++)
            gradient[(height - 1) * length + at] = 0.0f;
    }
}

/* The last half of a transposed convolution: what each of (height, width) gives to a window of the output, columns
 * (height, width, tall, wide, channels), is added up in the order of the window, and `bias`, if there is one, at last.
 * From the last place to the first, a pixel of the output is reached in just that order. */
void fold(const float *columns, const float *bias, long images, long height, long width, long channels, long tall,
          long wide, long stride, long padding, long rows, long length, float *folded)
{
    for (long image = 0; image < images; image++, folded += rows * length * channels) {
        for (long at = 0; at < rows * length * channels; at++)
            folded[at] = 0.0f;
        for (long place = height * width - 1; place >= 0; place--) {
            const long top = place / width * stride - padding, left = place % width * stride - padding;
            const long first = left < 0 ? -left : 0, end = left + wide > length ? length - left : wide;
            const float *window = columns + (image * height * width + place) * tall * wide * channels;
            for (long row = top < 0 ? -top : 0; row < tall && top + row < rows; row++) {
                const float *from = window + (row * wide + first) * channels;
                float *to = folded + ((top + row) * length + left + first) * channels;
                for (long at = 0; at < (end - first) * channels; at++)
                    to[at] += from[at];
            }
        }
        for (long pixel = 0; bias && pixel < rows * length; pixel++)
            for (long at = 0; at < channels; at++)
                folded[pixel * channels + at] += bias[at];
    }
}

#if defined __AVX512F__
#define LANES 16
#elif defined __AVX2__
#define LANES 8
#else
#define LANES 0
#endif

/* How many numbers go through PyTorch's exponential at once; 0 where this was compiled for no such processor. */
const int lanes_of_exponential = LANES;

#if LANES
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float))));
#else
typedef float Lanes;
#endif

/* What PyTorch computes float32 by on a CPU. Its BLAS wants pointers, and matrices column by column: ours, row by row,
 * are to it their transposes. Integers are long for a BLAS with wide ones too; one with narrow ones reads the lower
 * half. */
typedef struct {
    void (*multiply)(const char *, const char *, const long *, const long *, const long *, const float *, const float *,
                     const long *, const float *, const long *, const float *, float *, const long *);
    float (*dot)(const long *, const float *, const long *, const float *, const long *);
    void (*tanh)(long, const float *, float *, long);
    Lanes (*exponential)(Lanes);
} Torch;
static const float zero = 0.0f, one = 1.0f;

enum { NOTHING, TANH, SIGMOID };

#define ACCURATE 0x140102 /* of MKL's precisions, and no word about errors */

/* An activation of `count` values, of those at most that are left of a tensor. PyTorch computes those of sigmoid by two
 * vectors at a time, and what is `left` after that by the C library. */
static void activate(const Torch *torch, int activation, float *x, long count, long left)
{
    if (activation == TANH)
        torch->tanh(count, x, x, ACCURATE);
#if LANES
    const long last = left % (2 * LANES), paired = left - last < count ? left - last : count;
    long at = 0;
    for (Lanes lanes; activation == SIGMOID && at < paired; at += LANES) {
        const long size = (paired - at < LANES ? paired - at : LANES) * sizeof *x;
        memcpy(&lanes, x + at, size);
        lanes = 1.0f / (1.0f + torch->exponential(0.0f - lanes));
        memcpy(x + at, &lanes, size);
    }
    for (at = paired; activation == SIGMOID && at < count; at++)
        x[at] = 1.0f / (1.0f + expf(-x[at]));
#endif
}

/* Its gradient, in the place of that of what came out. */
static void activate_gradient(int activation, const float *y, long count, float *gradient)
{
    if (activation == TANH)
        for (long at = 0; at < count; at++)
            gradient[at] *= fmaf(-y[at], y[at], 1.0f);
    if (activation == SIGMOID)
        for (long at = 0; at < count; at++)
            gradient[at] = gradient[at] * (1.0f - y[at]) * y[at];
}

/* A dense layer for a shard of images: its weights (outputs, inputs), what it gives (images, outputs), the gradients of
 * both; and the ReLU and the dropout after it or another activation, where it has them. What is not kept is written
 * over for each block. */
typedef struct {
    long inputs, outputs;
    const float *weights, *bias;
    float *output, *gradient, *of_weights, *of_bias;
    const int16_t *lanes;
    float scale;
    int least, rectifies, activation, kept;
} Layer;

/* Images that are taken through all layers at once, in a core's cache; no fewer than half of them, for BLAS has another
 * order for few rows. */
#define BLOCK 128
static inline long block_after(long begin, long images)
{
    const long blocks = (images + BLOCK - 1) / BLOCK, block = (images + blocks - 1) / blocks;
    return images - begin < block ? images - begin : block;
}

static void pass_on(const Torch *torch, const Layer *layers, long first, long end, const float *x, long begin,
                    long images, long left)
{
    for (const Layer *layer = layers + first; layer < layers + end; layer++) {
        const float *given = layer > layers ? layer[-1].output : x;
        float *made = layer->output + (layer->kept ? begin * layer->outputs : 0);
        for (long image = 0; image < images; image++)
            memcpy(made + image * layer->outputs, layer->bias, layer->outputs * sizeof *made);
        torch->multiply("T", "N", &layer->outputs, &images, &layer->inputs, &one, layer->weights, &layer->inputs,
                       given + begin * layer->inputs, &layer->inputs, &one, made, &layer->outputs);
        if (layer->rectifies)
            rectify_drop(made, layer->lanes ? layer->lanes + begin * layer->outputs : layer->lanes,
                         images * layer->outputs, layer->least, layer->scale, made);
        activate(torch, layer->activation, made, images * layer->outputs, left * layer->outputs);
    }
}

/* How images are scored by their mean square error, times `factor`, after a ReLU where `rectifies`. What is found: how
 * many values of each image differ once both are rounded, all differences, the gradient before the ReLU, times `slope`,
 * if there is a place for it; and `share` of that loss, the loss itself, the accuracy and 1. */
typedef struct {
    const float *wanted;
    float *wrong, *difference, *gradient, *found;
    long size;
    float factor, share, slope;
    int rectifies;
} Score;

static void compare(const Score *score, const float *made, long begin, long images)
{
    const float floor = score->rectifies ? 0.0f : -INFINITY, stopped = score->rectifies ? 0.0f : NAN;
    const float slope = score->slope;
    const long size = score->size;
    for (long image = begin; image < begin + images; image++, made += size) {
        const float *wanted = score->wanted + image * size;
        float *difference = score->difference + image * size, *gradient = score->gradient + image * size;
        int32_t wrong = 0;
        for (long value = 0; value < size; value++) {
            const float kept = made[value] < floor ? floor : made[value];
            wrong += (kept > 0.5f) != (wanted[value] > 0.5f);
            difference[value] = kept - wanted[value];
        }
        score->wrong[image] = (float)wrong;
        if (score->gradient)
            for (long value = 0; value < size; value++)
                gradient[value] = made[value] <= stopped ? 0.0f : difference[value] * slope;
    }
}

static void conclude(const Torch *torch, const Score *score, long images)
{
    const long count = images * score->size, next = 1;
    float total = 0.0f;
    for (long image = 0; image < images; image++)
        total += score->wrong[image];
    const float loss = torch->dot(&count, score->difference, &next, score->difference, &next) / (float)count;
    score->found[1] = loss * score->factor;
    score->found[0] = score->found[1] * score->share;
    score->found[2] = 1.0f - total / (float)count;
    score->found[3] = 1.0f;
}

void dense_score(const Torch *torch, const Score *score, const float *made, long images)
{
    compare(score, made, 0, images);
    conclude(torch, score, images);
}

/* Layers from `first` until `end`, the first of all of which takes x (images, inputs); and the score of what the last
 * one gives, if it is wanted. */
void dense_forward(const Torch *torch, const Layer *layers, long first, long end, const float *x, long images,
                   const Score *score)
{
    const Layer *last = layers + end - 1;
    for (long begin = 0, block; begin < images; begin += block) {
        block = block_after(begin, images);
        pass_on(torch, layers, first, end, x, begin, block, images - begin);
        if (score)
            compare(score, last->output + (last->kept ? begin * last->outputs : 0), begin, block);
    }
    if (score)
        conclude(torch, score, images);
}

#define STEP 16
#define LEVELS 4
#define COLUMNS 32

/* Sums of up to COLUMNS columns: of sixteen rows, of sixteen such sums, and so on. */
static void add_up(const float *x, long rows, long apart, long columns, float *sums)
{
    float found[LEVELS][COLUMNS] = {{0.0f}};
    for (long row = 0; row < rows;) {
        for (long at = 0; at < columns; at++)
            found[0][at] += x[row * apart + at];
        long whole = ++row;
        for (int level = 1; level < LEVELS && whole % STEP == 0; level++, whole /= STEP)
            for (long at = 0; at < columns; at++)
                found[level][at] += found[level - 1][at], found[level - 1][at] = 0.0f;
    }
    for (int level = 1; level < LEVELS; level++)
        for (long at = 0; at < columns; at++)
            found[0][at] += found[level][at];
    for (long at = 0; at < columns; at++)
        sums[at] = found[0][at];
}

#define APART 4

/* The same of every fourth row by itself, and then of these sums. */
static void add_up_apart(const float *x, long rows, long apart, long columns, float *sums)
{
    float found[APART][COLUMNS];
    for (long part = 0; part < APART; part++)
        add_up(x + part * apart, rows / APART, APART * apart, columns, found[part]);
    for (long row = rows / APART * APART; row < rows; row++)
        for (long at = 0; at < columns; at++)
            found[0][at] += x[row * apart + at];
    for (long at = 0; at < columns; at++)
        sums[at] = found[0][at] + found[1][at] + found[2][at] + found[3][at];
}

#define VECTOR 8

/* The sum of each column, as PyTorch adds up rows on any x86-64: four vectors of columns are added up at once, or four
 * columns where there is not one vector, and those that are left apart; a single column as one of vectors. */
static void sum_columns(const float *x, long rows, long columns, float *sums)
{
    const long together = columns < VECTOR ? 4 : 4 * VECTOR;
    if (columns == 1 && rows >= VECTOR) {
        float found[VECTOR];
        add_up_apart(x, rows / VECTOR, VECTOR, VECTOR, found);
        sums[0] = 0.0f;
        for (long row = rows / VECTOR * VECTOR; row < rows; row++)
            sums[0] += x[row];
        for (int at = 0; at < VECTOR; at++)
            sums[0] += found[at];
        return;
    }
    for (long at = 0, left; (left = columns - at) > 0; at += together)
        if (left >= together)
            add_up(x + at, rows, columns, together, sums + at);
        else
            add_up_apart(x + at, rows, columns, left, sums + at);
}

/* Their gradients, from before `end` back to `first`, from that of what the last one gives; and that of what goes into
 * the first, if a layer is before it. */
void dense_backward(const Torch *torch, const Layer *layers, long first, long end, const float *x, long images)
{
    for (const Layer *layer = layers + end - 1; layer >= layers + first; layer--) {
        activate_gradient(layer->activation, layer->output, images * layer->outputs, layer->gradient);
        if (layer->rectifies)
            rectify_drop_gradient(layer->gradient, layer->output, images * layer->outputs, layer->scale,
                                  layer->gradient);
        torch->multiply("N", "T", &layer->inputs, &layer->outputs, &images, &one, layer > layers ? layer[-1].output : x,
                       &layer->inputs, layer->gradient, &layer->outputs, &zero, layer->of_weights, &layer->inputs);
        sum_columns(layer->gradient, images, layer->outputs, layer->of_bias);
        if (layer > layers)
            torch->multiply("N", "N", &layer->inputs, &images, &layer->outputs, &one, layer->weights, &layer->inputs,
                           layer->gradient, &layer->outputs, &zero, layer[-1].gradient, &layer->inputs);
    }
}

/* As PyTorch keeps the state of a generator on a CPU, a Mersenne Twister (Matsumoto and Nishimura, 1998); of its words
 * `left` - 1 are not yet drawn. */
#define WORDS 624
#define FAR 397
typedef struct {
    uint64_t seed;
    int32_t left, seeded;
    uint64_t next, words[WORDS];
} Generator;

static inline uint32_t twisted(uint32_t far, uint32_t word, uint32_t next)
{
    return far ^ ((word & 0x80000000u) | (next & 0x7fffffffu)) >> 1 ^ (next & 1u ? 0x9908b0dfu : 0u);
}

static void renew(uint32_t *words)
{
    uint32_t made[WORDS]; /* apart, and in steps that read nothing which they write: a compiler makes vectors of them */
    for (int at = 0; at < WORDS - FAR; at++)
        made[at] = twisted(words[at + FAR], words[at], words[at + 1]);
    for (int begin = WORDS - FAR; begin < WORDS - 1; begin += WORDS - FAR)
        for (int at = begin; at < begin + WORDS - FAR && at < WORDS - 1; at++)
            made[at] = twisted(made[at - (WORDS - FAR)], words[at], words[at + 1]);
    made[WORDS - 1] = twisted(made[FAR - 1], words[WORDS - 1], made[0]);
    for (int at = 0; at < WORDS; at++)
        words[at] = made[at];
}

/* `count` integers of 64 bits as `Tensor.random_` draws them, the higher half first; the generator goes on. */
void draw(Generator *generator, uint64_t *drawn, long count)
{
    uint32_t words[WORDS], *halves = (uint32_t *)drawn;
    long left = generator->left - 1, next = (long)generator->next;
    for (int at = 0; at < WORDS; at++)
        words[at] = (uint32_t)generator->words[at];
    for (long made = 0, taken; made < 2 * count; made += taken, left -= taken, next += taken) {
        if (left == 0)
            renew(words), left = WORDS, next = 0;
        taken = left < 2 * count - made ? left : 2 * count - made;
        for (long at = 0; at < taken; at++) {
            uint32_t word = words[next + at];
            word ^= word >> 11;
            word ^= word << 7 & 0x9d2c5680u;
            word ^= word << 15 & 0xefc60000u;
            halves[made + at] = word ^ word >> 18;
        }
    }
    for (long at = 0; at < count; at++)
        drawn[at] = drawn[at] << 32 | drawn[at] >> 32;
    for (int at = 0; at < WORDS; at++)
        generator->words[at] = words[at];
    generator->left = (int32_t)left + 1;
    generator->next = (uint64_t)next;
}
