/* What a step on a CPU does between its products, each in one pass over memory, in float32.
 *
 * Every value is rounded as PyTorch's own operators round it one after the other, so that a training has the same bits
 * with these and without: no -ffast-math, and -ffp-contract=off.
 */
#include <stdint.h>

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
