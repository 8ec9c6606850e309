// SPDX-License-Identifier: Apache-2.0

// Verifies an exported Khatim ledger with Go's own transparency log packages, without a line of Khatim:
//
//	go mod init verify-ledger && go get golang.org/x/mod/sumdb/tlog@latest
//	go run . LEDGER_FOLDER LEDGER.VKEY [OLD_CHECKPOINT]
//
// It checks the signature of the checkpoint, every entry against the signed root, the chain inside the entries, and,
// when a checkpoint that somebody kept is given, that the ledger has only grown since.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// memory is a hash storage of all stored hashes of the tree, in tlog's order.
type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for place, index := range indexes {
		found[place] = m[index]
	}
	return found, nil
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: go run . LEDGER_FOLDER LEDGER.VKEY [OLD_CHECKPOINT]")
	}
	folder, vkey := os.Args[1], strings.TrimSpace(string(must(os.ReadFile(os.Args[2]))))
	tree := opened(filepath.Join(folder, "checkpoint"), vkey)

	var stored memory
	prev := strings.Repeat("0", 64)
	for index := int64(0); index < tree.N; {
		width := min(256, tree.N-index)
		for _, entry := range bundle(folder, index/256, width) {
			var said struct {
				Index int64
				Prev  string
			}
			check(json.Unmarshal(entry, &said))
			if said.Index != index || said.Prev != prev {
				log.Fatalf("entry %d does not follow from the one before", index)
			}
			stored = append(stored, must(tlog.StoredHashes(index, entry, stored))...)
			link := sha256.Sum256(entry)
			prev = hex.EncodeToString(link[:])
			index++
		}
	}
	if root := must(tlog.TreeHash(tree.N, stored)); root != tree.Hash {
		log.Fatalf("the entries lead to the root %v, but %v was signed", root, tree.Hash)
	}
	fmt.Printf("%d entries lead to the signed root %v\n", tree.N, tree.Hash)

	if len(os.Args) > 3 {
		old := opened(os.Args[3], vkey)
		if old.N > tree.N || must(tlog.TreeHash(old.N, stored)) != old.Hash {
			log.Fatalf("the ledger of %d entries that was kept is not the beginning of this one", old.N)
		}
		fmt.Printf("the ledger has only grown since it had %d entries\n", old.N)
	}
}

// opened returns the tree of a signed checkpoint: origin, size and root, each on a line.
func opened(path, vkey string) tlog.Tree {
	verifier := must(note.NewVerifier(vkey))
	signed := must(note.Open(must(os.ReadFile(path)), note.VerifierList(verifier)))
	lines := strings.Split(signed.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		log.Fatalf("%s is not a checkpoint of %s", path, verifier.Name())
	}
	var tree tlog.Tree
	must(fmt.Sscan(lines[1], &tree.N))
	tree.Hash = must(tlog.ParseHash(lines[2]))
	return tree
}

// bundle returns the entries of one bundle: each is preceded by its length in two bytes (C2SP tlog-tiles).
func bundle(folder string, number, width int64) [][]byte {
	path := fmt.Sprintf("%03d", number%1000)
	for number /= 1000; number > 0; number /= 1000 {
		path = fmt.Sprintf("x%03d/%s", number%1000, path)
	}
	if width < 256 {
		path = fmt.Sprintf("%s.p/%d", path, width)
	}
	data := must(os.ReadFile(filepath.Join(folder, "tile", "entries", path)))
	var entries [][]byte
	for len(data) >= 2 {
		size := int(binary.BigEndian.Uint16(data))
		if len(data) < 2+size {
			log.Fatalf("%s ends early", path)
		}
		entries = append(entries, data[2:2+size])
		data = data[2+size:]
	}
	if len(data) != 0 || int64(len(entries)) != width {
		log.Fatalf("%s does not hold %d entries", path, width)
	}
	return entries
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
