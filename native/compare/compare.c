/* Every instruction set of this machine against plain arithmetic, on many shapes:
 *
 *     python native/building.py --program native/compare/compare.c --output build && build/compare
 *
 * Where all sums are of integers the result must be equal, bit for bit, whatever the order of adding; elsewhere within the bound
 * that stands beside the comparison. Exit status 0: all were; 1: some were not, and which is said.
 */
#include "compare_attention.h"
#include "compare_linear.h"

int main(void) {
    const Kernels *sets[8];
    int count = 0, runs;
    const char *name;
    for (int i = 0; (name = kernels_known(i, &runs)); i++) {
        if (runs)
            sets[count++] = kernels(name);
        else
            printf("%s: not on this machine\n", name);
    }
    compare_halves();
    compare_linear(sets, count);
    compare_attention(sets, count, kernels("plain"));
    for (int i = 0; i < count; i++) compare_rows(sets[i]);
    for (int i = 0; i < count; i++) printf("%s: compared\n", sets[i]->name);
    printf("%ld comparisons, %ld failed\n", compared, failed);
    return failed != 0;
}
