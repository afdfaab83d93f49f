/* A matrix's scales in half the bytes, where that loses nothing: numbers of 11 binary digits, the largest of them less than 2^31
 * times the smallest. Such are those that youtu-onnx and others write, whose scales were float16.
 *
 * A half has the number's sign, five bits of its exponent and ten of its digits. Brought to where a float has them they are a
 * number 2^-126 to 2^-95 large, which `unit` times is the scale: one product, and no exception.
 */
#ifndef YOUTU_HALVES_H
#define YOUTU_HALVES_H

#include "kernels.h"

/* What is taken off a scale's upper bits to make its half; negative where halves would lose something. */
int64_t halves_offset(const float *scales, int64_t count);
/* Halves of `count` scales, and their unit. */
void make_halves(const float *scales, int64_t count, int64_t offset, uint16_t *halves);
float halves_unit(int64_t offset);

#endif
