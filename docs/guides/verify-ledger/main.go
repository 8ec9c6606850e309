// SPDX-License-Identifier: Apache-2.0

// Verifies an exported Khatim ledger with Go's own transparency log packages, without a line of Khatim:
//
//	verify-ledger [-plain] LEDGER_FOLDER LEDGER.VKEY [OLD_CHECKPOINT]
//
// It checks the signature of the checkpoint, every entry and every tile against the signed root, the inclusion of every
// entry, the chain inside the entries (-plain: a log without one, such as the signature log), and, when a checkpoint
// that somebody kept is given, by a consistency proof that the ledger has only grown since.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
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
	plain := flag.Bool("plain", false, "the entries are not chained")
	flag.Parse()
	if flag.NArg() < 2 || flag.NArg() > 3 {
		log.Fatal("usage: verify-ledger [-plain] LEDGER_FOLDER LEDGER.VKEY [OLD_CHECKPOINT]")
	}
	folder, vkey := flag.Arg(0), strings.TrimSpace(string(must(os.ReadFile(flag.Arg(1)))))
	tree := opened(filepath.Join(folder, "checkpoint"), vkey)

	entries := read(folder, tree.N)
	if !*plain {
		chained(entries)
	}
	var stored memory
	for index, entry := range entries {
		stored = append(stored, must(tlog.StoredHashes(int64(index), entry, stored))...)
	}
	if root := must(tlog.TreeHash(tree.N, stored)); root != tree.Hash {
		log.Fatalf("the entries lead to the root %v, but %v was signed", root, tree.Hash)
	}
	for index, entry := range entries {
		proof := must(tlog.ProveRecord(tree.N, int64(index), stored))
		check(tlog.CheckRecord(proof, tree.N, tree.Hash, int64(index), tlog.RecordHash(entry)))
	}
	fmt.Printf("%d entries lead to the signed root %v\n", tree.N, tree.Hash)
	fmt.Printf("%d tiles are those of the entries\n", tiles(folder, tree.N, stored))

	if flag.NArg() > 2 {
		old := opened(flag.Arg(2), vkey)
		if old.N > tree.N {
			log.Fatalf("a ledger of %d entries was kept, and this one has %d", old.N, tree.N)
		}
		if old.N > 0 { // every tree continues the empty one
			proof := must(tlog.ProveTree(tree.N, old.N, stored))
			if tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash) != nil {
				log.Fatalf("the ledger of %d entries that was kept is not the beginning of this one", old.N)
			}
		}
		fmt.Printf("the ledger has only grown since it had %d entries\n", old.N)
	}
}

// chained checks that each entry names its index and the hash of the one before.
func chained(entries [][]byte) {
	prev := strings.Repeat("0", 64)
	for index, entry := range entries {
		var said struct {
			Index *int
			Prev  string
		}
		check(json.Unmarshal(entry, &said))
		if said.Index == nil || *said.Index != index || said.Prev != prev {
			log.Fatalf("entry %d does not follow from the one before", index)
		}
		link := sha256.Sum256(entry)
		prev = hex.EncodeToString(link[:])
	}
}

// read returns all entries.
func read(folder string, size int64) [][]byte {
	var entries [][]byte
	for first := int64(0); first < size; first += 256 {
		entries = append(entries, bundle(folder, first/256, min(256, size-first))...)
	}
	return entries
}

// tiles checks every tile that a tree of this size has against the hashes of the entries; it returns their number.
func tiles(folder string, size int64, stored memory) int {
	count := 0
	for level, nodes := 0, size; nodes > 0; level, nodes = level+1, nodes/256 {
		for first := int64(0); first < nodes; first += 256 {
			width := min(256, nodes-first)
			tile := tlog.Tile{H: 8, L: level, N: first / 256, W: int(width)}
			path := filepath.Join("tile", fmt.Sprint(level), place(first/256, width))
			if !bytes.Equal(must(os.ReadFile(filepath.Join(folder, path))), must(tlog.ReadTileData(tile, stored))) {
				log.Fatalf("%s does not hold the hashes of the entries", filepath.ToSlash(path))
			}
			count++
		}
	}
	return count
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

// place returns the name of a tile: x001/x234/067, and the width where it is not full (C2SP tlog-tiles).
func place(number, width int64) string {
	path := fmt.Sprintf("%03d", number%1000)
	for number /= 1000; number > 0; number /= 1000 {
		path = fmt.Sprintf("x%03d/%s", number%1000, path)
	}
	if width < 256 {
		path = fmt.Sprintf("%s.p/%d", path, width)
	}
	return path
}

// bundle returns the entries of one bundle: each is preceded by its length in two bytes.
func bundle(folder string, number, width int64) [][]byte {
	path := place(number, width)
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
