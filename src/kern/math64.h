/* math64: exp, log and pow in binary64 for the few scalars that want more than 24 bits: rotary frequencies,
 * sampling, mean losses. Only + - * / and bit moves, so every machine gives the same bits. Errors below 2 ulp for
 * results in the normal range; NaN gives NaN.
 */
#ifndef LOAM_KERN_MATH64_H
#define LOAM_KERN_MATH64_H

double kern_exp64(double x);           /* below -745.2: 0; above 709.8: infinity */
double kern_log64(double x);           /* 0: -infinity; negative: NaN */
double kern_pow64(double x, double y); /* x > 0: exp(y log x), within 2^-45 relative for results near 1 to 1e9 */
double kern_sqrt64(double x);          /* exact by IEEE */

#endif
