import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.net.InetSocketAddress;
import java.util.List;

/**
 * MongoDB's wire protocol over data in memory, for the tests: {@code java MongoServerInMemory PORT}, until it is killed.
 *
 * <p>One thread carries out every command and writes its answer, so commands are atomic, as the update of one document is in MongoDB. With
 * several threads a reader may be sent a document of which some fields are already changed and others not yet.
 */
final class MongoServerInMemory {
    private static final int THREADS = 1;

    /** What the server says that it is; the versions that it brings along end below what drivers still talk to. */
    private static final MongoVersion VERSION =
            new MongoVersion() {
                @Override
                public List<Integer> getVersionArray() {
                    return List.of(5, 0, 0);
                }

                @Override
                public int getWireVersion() {
                    return 13;
                }
            };

    private MongoServerInMemory() {}

    public static void main(String[] arguments) {
        MongoServer server = new MongoServer(new MemoryBackend().version(VERSION));
        server.bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), THREADS, THREADS);
    }
}
