/* What probe.py does, for a root without Python: dlopen each path of a file of lines "dlopen PATH", in a child of its own. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void attempt(const char *path)
{
	if (dlopen(path, RTLD_NOW | RTLD_LOCAL)) {
		printf("ok\t\n");
		return;
	}
	printf("error\t");
	for (const char *c = dlerror(); *c; c++)
		fputs(*c == '\n' ? "\\n" : (char[]){*c, 0}, stdout);
	printf("\n");
}

int main(int argc, char **argv)
{
	char line[8192];
	FILE *tasks = argc > 1 ? fopen(argv[1], "re") : NULL;
	if (!tasks)
		return 2;
	for (int number = 0; fgets(line, sizeof line, tasks); number++) {
		int status = 0;
		line[strcspn(line, "\n")] = 0;
		printf("%d\t", number);
		fflush(stdout);
		if (fork() == 0) {
			attempt(line + strlen("dlopen "));
			fflush(stdout);
			_exit(0);
		}
		wait(&status);
		if (WIFSIGNALED(status))
			printf("signal\t%d\n", WTERMSIG(status));
		else if (WEXITSTATUS(status))
			printf("exit\t%d\n", WEXITSTATUS(status));
		fflush(stdout);
	}
	return 0;
}
