/* Tells what a program in a container sees of a GPU: the libcuda that dlopen finds by each name, and what each node answers. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int main(int argc, char **argv) {
	for (int i = 1; i < argc; i++) {
		struct stat st;
		if (argv[i][0] == '/') {
			if (stat(argv[i], &st)) {
				printf("%s: %s\n", argv[i], strerror(errno));
				continue;
			}
			int fd = open(argv[i], O_RDWR);
			printf("%s: %u:%u %s\n", argv[i], major(st.st_rdev), minor(st.st_rdev), fd < 0 ? strerror(errno) : "opened");
			continue;
		}
		void *lib = dlopen(argv[i], RTLD_NOW);
		int (*version)(void) = lib ? (int (*)(void))dlsym(lib, "hostrunVersion") : 0;
		if (version) printf("%s: %d\n", argv[i], version());
		else printf("%s\n", dlerror());
	}
	return 0;
}
