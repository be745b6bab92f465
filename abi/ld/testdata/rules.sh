# Builds libraries below the working directory, one directory for each rule of the loader. Every *.so in it that does not
# begin with "lib" is opened by the test.
set -e
lib() { # lib FILE [options and libraries]: defines the function that FILE is named after, and calls those in $calls
	out=$1
	shift
	f=$(basename "$out" | sed 's/^lib//; s/\..*//; s/[^a-z0-9]/_/g')
	mkdir -p "$(dirname "$out")"
	{
		for c in $calls; do echo "extern void $c(void);"; done
		echo "void $f(void) {"
		for c in $calls; do echo "$c();"; done
		echo "}"
	} >source.c
	gcc -shared -fPIC -nostartfiles -o "$out" source.c "$@"
}
rpath="-Wl,--disable-new-dtags,-rpath"
runpath="-Wl,--enable-new-dtags,-rpath"
soname() { echo "-Wl,-soname,$1"; }

# A chain: top needs mid needs leaf; only top says where.
for kind in rpath runpath; do
	calls="" lib $kind/in/libleaf.so $(soname libleaf.so)
	calls="leaf" lib $kind/in/libmid.so -L$kind/in -lleaf $(soname libmid.so)
	eval option=\$$kind
	calls="mid" lib $kind/top.so -L$kind/in -lmid $option,'$ORIGIN/in'
done
# DT_RPATH counts for nothing in an object that has DT_RUNPATH, and is inherited past it.
calls="" lib mixed/a/libleaf.so $(soname libleaf.so)
calls="leaf" lib mixed/a/libmid.so -Lmixed/a -lleaf $(soname libmid.so) $runpath,/nowhere
calls="mid" lib mixed/top.so -Lmixed/a -lmid $rpath,'$ORIGIN/a'
# Braces, unknown tokens, an empty element, a trailing slash.
calls="leaf" lib tokens/braces.so -Lrpath/in -lleaf $runpath,'${ORIGIN}/../rpath/in/'
calls="leaf" lib tokens/unknown.so -Lrpath/in -lleaf $runpath,'$NOTHING/../rpath/in'
calls="leaf" lib tokens/joined.so -Lrpath/in -lleaf $runpath,'$ORIGINAL/../rpath/in'
calls="leaf" lib tokens/second.so -Lrpath/in -lleaf $runpath,'/nowhere::$ORIGIN/../rpath/in'
for token in LIB PLATFORM; do
	mkdir -p "tokens/$token"
	calls="leaf" lib tokens/with-$token.so -Lrpath/in -lleaf $runpath,"\$ORIGIN/$token/\$$token"
done
mkdir -p tokens/LIB/lib/x86_64-linux-gnu tokens/LIB/lib64 tokens/PLATFORM/haswell tokens/PLATFORM/x86_64
for dir in tokens/LIB/lib/x86_64-linux-gnu tokens/LIB/lib64 tokens/PLATFORM/haswell tokens/PLATFORM/x86_64; do cp rpath/in/libleaf.so $dir; done
# $ORIGIN is the directory of the path as opened, not the link's target.
mkdir -p origin/elsewhere/in origin/links/in
calls="leaf" lib origin/elsewhere/real.so -Lrpath/in -lleaf $runpath,'$ORIGIN/in'
cp rpath/in/libleaf.so origin/links/in
ln -s ../elsewhere/real.so origin/links/link.so
ln -s elsewhere origin/directory
cp rpath/in/libleaf.so origin/elsewhere/in/libleaf.so
mv origin/elsewhere/in origin/elsewhere/other
# A file of another machine or word size is passed over; so is one that is not there.
mkdir -p machine/wrong machine/right machine/class
cp rpath/in/libleaf.so machine/right
cp rpath/in/libleaf.so machine/wrong
printf '\267' | dd of=machine/wrong/libleaf.so bs=1 seek=18 conv=notrunc 2>/dev/null
cp rpath/in/libleaf.so machine/class
printf '\001' | dd of=machine/class/libleaf.so bs=1 seek=4 conv=notrunc 2>/dev/null
calls="leaf" lib machine/passed-over.so -Lrpath/in -lleaf $runpath,'$ORIGIN/wrong:$ORIGIN/class:$ORIGIN/right'
calls="leaf" lib machine/only-wrong.so -Lrpath/in -lleaf $runpath,'$ORIGIN/wrong'
calls="leaf" lib machine/only-class.so -Lrpath/in -lleaf $runpath,'$ORIGIN/wrong:$ORIGIN/class'
cp machine/wrong/libleaf.so machine/direct-wrong.so
cp machine/class/libleaf.so machine/direct-class.so
# What is not an object ends the search.
mkdir -p odd/text odd/empty odd/directory/libleaf.so
echo "GROUP ( libleaf.so.1 )" >odd/text/libleaf.so
head -c 100 /dev/zero | tr '\0' x >>odd/text/libleaf.so
: >odd/empty/libleaf.so
for kind in text empty directory; do
	calls="leaf" lib odd/$kind.so -Lrpath/in -lleaf $runpath,"\$ORIGIN/$kind:\$ORIGIN/../rpath/in"
done
ln -s loop.so odd/loop.so
ln -s nowhere.so odd/dangling.so
cp odd/empty/libleaf.so odd/nothing.so
# A library is known by DT_SONAME, by the name that was asked for, and by its inode.
calls="" lib known/libone.so $(soname libshared.so.1)
ln known/libone.so known/libtwo.so
calls="one" lib known/uses-path.so $PWD/known/libone.so $runpath,'$ORIGIN'
calls="" lib known/libthree.so
calls="three" lib known/libuser.so -Lknown -lthree $(soname libuser.so)
calls="user three" lib known/twice.so -Lknown -luser -lthree $runpath,'$ORIGIN' $rpath,'$ORIGIN'
# DT_NEEDED with a slash: relative to the working directory.
(cd known && calls="three" lib slash.so ./libthree.so)
# hwcaps: the better directory wins.
mkdir -p hwcaps/in/glibc-hwcaps/x86-64-v2 hwcaps/in/glibc-hwcaps/x86-64-v3 hwcaps/in/glibc-hwcaps/x86-64-v4 hwcaps/in/tls hwcaps/old/haswell/x86_64 hwcaps/old/tls/x86_64
calls="" lib hwcaps/in/libbest.so $(soname libbest.so)
echo 'void best(void){} void extra(void){}' >source.c
for level in 2 3 4; do gcc -shared -fPIC -nostartfiles -o hwcaps/in/glibc-hwcaps/x86-64-v$level/libbest.so source.c -Wl,-soname,libbest.so; done
calls="best extra" lib hwcaps/best.so hwcaps/in/glibc-hwcaps/x86-64-v2/libbest.so $runpath,'$ORIGIN/in'
for dir in haswell/x86_64 tls/x86_64; do cp hwcaps/in/glibc-hwcaps/x86-64-v2/libbest.so hwcaps/old/$dir; done
cp hwcaps/in/libbest.so hwcaps/old
calls="best extra" lib hwcaps/old.so hwcaps/in/glibc-hwcaps/x86-64-v2/libbest.so $runpath,'$ORIGIN/old'
# Versions: one that is gone, a weak need, a library without any, a hidden one, a default one.
echo 'V1 { global: versioned; }; V2 { global: newer; } V1;' >both.map
echo 'V1 { global: versioned; newer; };' >first.map
echo 'void versioned(void){} void newer(void){}' >source.c
mkdir -p versions/both versions/first versions/none
gcc -shared -fPIC -nostartfiles -o versions/both/libver.so source.c -Wl,--version-script=both.map -Wl,-soname,libver.so
gcc -shared -fPIC -nostartfiles -o versions/first/libver.so source.c -Wl,--version-script=first.map -Wl,-soname,libver.so
gcc -shared -fPIC -nostartfiles -o versions/none/libver.so source.c -Wl,-soname,libver.so
for dir in both first; do
	calls="versioned newer" lib versions/both-in-$dir.so -Lversions/both -lver $runpath,"\$ORIGIN/$dir"
	calls="versioned newer" lib versions/first-in-$dir.so -Lversions/first -lver $runpath,"\$ORIGIN/$dir"
	calls="versioned newer" lib versions/none-in-$dir.so -Lversions/none -lver $runpath,"\$ORIGIN/$dir"
done
calls="versioned newer" lib versions/both-in-none.so -Lversions/both -lver $runpath,'$ORIGIN/none'
# Symbols: undefined by call and by address, weak, never used, hidden, of a symbolic library, indirect, System V hash.
calls="nowhere_to_be_found" lib symbols/call.so
echo 'extern int data; int *address(void){return &data;}' >source.c
gcc -shared -fPIC -nostartfiles -o symbols/data.so source.c
echo 'extern void maybe(void) __attribute__((weak)); void call(void){if(maybe)maybe();}' >source.c
gcc -shared -fPIC -nostartfiles -o symbols/weak.so source.c
calls="leaf nowhere" lib symbols/libfaulty.so -Lrpath/in -lleaf
calls="faulty" lib symbols/needs-faulty.so -Lsymbols -lfaulty $rpath,'$ORIGIN:$ORIGIN/../rpath/in' -Wl,--allow-shlib-undefined
calls="leaf" lib symbols/sysv.so -Lrpath/in -lleaf $runpath,'$ORIGIN/../rpath/in' -Wl,--hash-style=sysv
calls="nowhere" lib symbols/sysv-undefined.so -Wl,--hash-style=sysv
calls="" lib symbols/libsysv.so -Wl,--hash-style=sysv
calls="sysv" lib symbols/uses-sysv.so -Lsymbols -lsysv $runpath,'$ORIGIN'
echo 'static void chosen(void){} static void *pick(void){return chosen;} void indirect(void) __attribute__((ifunc("pick")));' >source.c
gcc -shared -fPIC -nostartfiles -o symbols/libindirect.so source.c
calls="indirect" lib symbols/ifunc.so -Lsymbols -lindirect $runpath,'$ORIGIN'
echo '__attribute__((visibility("hidden"))) void secret(void){} void open_one(void){secret();}' >source.c
gcc -shared -fPIC -nostartfiles -o symbols/libhidden.so source.c
calls="secret" lib symbols/hidden.so -Lsymbols -Wl,--no-as-needed -lhidden $runpath,'$ORIGIN' -Wl,--unresolved-symbols=ignore-all
calls="nowhere" lib symbols/symbolic.so -Wl,-Bsymbolic
calls="nowhere" lib symbols/now.so -Wl,-z,now
echo 'void only(void); static void unused(void){}' >source.c
gcc -shared -fPIC -nostartfiles -fvisibility=hidden -o symbols/nothing-exported.so source.c
echo 'extern int absent; __attribute__((visibility("hidden"))) int *where = &absent;' >source.c
gcc -shared -fPIC -nostartfiles -fvisibility=hidden -o symbols/no-exports.so source.c
# Filters.
calls="leaf" lib filter/auxiliary.so -Lrpath/in -lleaf $runpath,'$ORIGIN/../rpath/in' -Wl,-f,libnotthere.so
calls="leaf" lib filter/filter.so -Lrpath/in -lleaf $runpath,'$ORIGIN/../rpath/in' -Wl,-F,libnotthere.so
calls="leaf" lib filter/found.so -Lrpath/in -lleaf $runpath,'$ORIGIN/../rpath/in' -Wl,-F,libleaf.so
# DF_1_NODEFLIB, DF_1_NOOPEN, a program, a position-independent program.
calls="" lib flags/nodeflib.so -Wl,-z,nodefaultlib -Wl,--no-as-needed -lm
calls="" lib flags/noopen.so -Wl,-z,nodlopen
echo 'int main(void){return 0;}' >source.c
gcc -pie -fPIE -o flags/pie.so source.c
gcc -no-pie -o flags/program.so source.c
# Gates: an executable stack, thread-local variables in the static block, a processor level, packed relocations.
calls="" lib gates/stack.so -Wl,-z,execstack
for size in 8 512 1600 1664 1700 1728 1760 1800 4000; do
	echo "__thread char tls[$size] __attribute__((tls_model(\"initial-exec\"))) = {1}; char *at(void){return tls;}" >source.c
	gcc -shared -fPIC -nostartfiles -o gates/tls-$size.so source.c
	echo "__thread char tls[$size] = {1}; char *at(void){return tls;}" >source.c
	gcc -shared -fPIC -nostartfiles -o gates/dynamic-tls-$size.so source.c
done
echo '__thread char aligned[100] __attribute__((aligned(256),tls_model("initial-exec"))) = {1}; char *at(void){return aligned;}' >source.c
gcc -shared -fPIC -nostartfiles -o gates/tls-aligned.so source.c
echo '__thread char first[900] __attribute__((tls_model("initial-exec"))) = {1}; char *one(void){return first;}' >source.c
gcc -shared -fPIC -nostartfiles -o gates/libfirst.so source.c
echo 'char *one(void); __thread char second[900] __attribute__((tls_model("initial-exec"))) = {1}; char *two(void){one(); return second;}' >source.c
gcc -shared -fPIC -nostartfiles -o gates/tls-sum.so source.c -Lgates -lfirst $runpath,'$ORIGIN'
for level in 2 3 4; do calls="" lib gates/level-$level.so -Wl,-z,x86-64-v$level; done
echo 'extern void *stdout; void **pointers[] = {&stdout, 0}; static int x; int *relative[] = {&x,&x,&x,&x};' >source.c
gcc -shared -fPIC -nostartfiles -o gates/relr.so source.c -Wl,-z,pack-relative-relocs || true
gcc -shared -fPIC -nostartfiles -nostdlib -o gates/relr-alone.so source.c -Wl,-z,pack-relative-relocs || true
# A library that is not there, at the end of a chain.
calls="" lib gone/libend.so $(soname libend-is-gone.so.3)
calls="end" lib gone/libmid.so -Lgone -l:libend.so $(soname libmid2.so)
mv gone/libmid.so gone/libmid2.so
calls="mid" lib gone/chain.so -Lgone -l:libmid2.so $runpath,'$ORIGIN' -Wl,--allow-shlib-undefined
rm gone/libend.so source.c both.map first.map
