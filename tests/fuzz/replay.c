/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain driver of the fuzz targets: runs LLVMFuzzerTestOneInput on each file named, so that the corpus replays in
 * every test run and under every sanitizer, with any compiler. With libFuzzer this file is left out.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		if (!f) {
			perror(argv[i]);
			return 1;
		}
		if (fseek(f, 0, SEEK_END) != 0) {
			perror(argv[i]);
			fclose(f);
			return 1;
		}
		long size = ftell(f);
		rewind(f);
		/* exactly as large as the input, so that an overrun of one byte is seen */
		uint8_t *data = size > 0 ? malloc((size_t)size) : NULL;
		if (size < 0 || (size > 0 && (!data || fread(data, 1, (size_t)size, f) != (size_t)size))) {
			perror(argv[i]);
			free(data);
			fclose(f);
			return 1;
		}
		fclose(f);
		LLVMFuzzerTestOneInput(data, (size_t)size);
		free(data);
	}
	if (argc < 2) {
		fprintf(stderr, "usage: %s FILE...\n", argv[0]);
		return 2;
	}
	printf("%d inputs\n", argc - 1);
	return 0;
}
