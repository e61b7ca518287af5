# SPDX-License-Identifier: Apache-2.0
# The container images, made without any registry: docker archives that hold one static program each.

IMAGE_PREFIX=kmetricsd.test
PAUSE_IMAGE=$IMAGE_PREFIX/pause:1

# compile NAME: DIR/images/NAME/NAME from images/NAME.c
compile() {
	mkdir -p "$DIR/images/$1/root"
	gcc -std=gnu11 -O2 -static -o "$DIR/images/$1/root/$1" "$lab/images/$1.c" || die "gcc could not compile $lab/images/$1.c"
}

# archive NAME: DIR/images/NAME.tar, image kmetricsd.test/NAME:1
archive() {
	local d=$DIR/images/$1 id
	tar -C "$d/root" --owner=0 --group=0 -cf "$d/layer.tar" "$1"
	id=$(sha256sum <"$d/layer.tar")
	cat >"$d/config.json" <<END
{"architecture": "$(dpkg --print-architecture)", "os": "linux", "config": {"Entrypoint": ["/$1"]},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:${id%% *}"]}}
END
	cat >"$d/manifest.json" <<END
[{"Config": "config.json", "RepoTags": ["$IMAGE_PREFIX/$1:1"], "Layers": ["layer.tar"]}]
END
	tar -C "$d" -cf "$DIR/images/$1.tar" manifest.json config.json layer.tar
}

import_images() {
	local name out
	for name in pause burn; do
		out=$(ctr --address "$containerd_socket" --namespace k8s.io images import --snapshotter native "$DIR/images/$name.tar" 2>&1) ||
			die "containerd did not take the image $name: $out"
	done
}
