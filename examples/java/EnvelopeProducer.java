import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Instant;
import java.util.Properties;

import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * Sends each line of standard input as one message of a user: an envelope of version 1.
 *
 * <pre>
 * java -cp "kafka-clients.jar:slf4j-api.jar" EnvelopeProducer.java \
 *     localhost:9092 memory.interactions acme ana monday < said.txt
 * </pre>
 *
 * The id of line n is the session and n. So the same input may be sent again after a failure: what
 * arrives twice is applied once.
 */
public final class EnvelopeProducer {
    private EnvelopeProducer() {}

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 5) {
            System.err.println("usage: EnvelopeProducer BROKERS TOPIC TENANT USER SESSION");
            System.exit(2);
        }
        String topic = arguments[1], tenant = arguments[2], user = arguments[3];
        String session = arguments[4];
        var lines = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        try (var producer = new KafkaProducer<String, String>(settings(arguments[0]))) {
            int number = 0;
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                number++;
                String value = envelope(session + "-" + number, tenant, user, session, line);
                var record = new ProducerRecord<>(topic, key(tenant, user), value);
                RecordMetadata place = producer.send(record).get();
                System.out.println(place.partition() + "@" + place.offset());
            }
        }
    }

    /** Every in-sync replica has a message before it counts, and none is written twice or late. */
    static Properties settings(String brokers) {
        var settings = new Properties();
        settings.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
        settings.put(ProducerConfig.ACKS_CONFIG, "all");
        settings.put(ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true);
        settings.put(ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, StringSerializer.class);
        settings.put(ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, StringSerializer.class);
        return settings;
    }

    /** The key keeps a user's messages in one partition: {@code ["acme","ana"]}, without spaces. */
    static String key(String tenant, String user) {
        return "[" + quoted(tenant) + "," + quoted(user) + "]";
    }

    static String envelope(String id, String tenant, String user, String session, String content) {
        return "{\"v\": 1"
                + ", \"id\": " + quoted(id)
                + ", \"tenant\": " + quoted(tenant)
                + ", \"user\": " + quoted(user)
                + ", \"session\": " + quoted(session)
                + ", \"kind\": \"message\", \"role\": \"user\""
                + ", \"content\": " + quoted(content)
                + ", \"occurred_at\": " + quoted(Instant.now().toString())
                + ", \"source\": \"java\"}";
    }

    /** A JSON string. The key has to be escaped exactly so: quotes, backslashes, controls only. */
    static String quoted(String text) {
        var quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            switch (c) {
                case '"' -> quoted.append("\\\"");
                case '\\' -> quoted.append("\\\\");
                case '\b' -> quoted.append("\\b");
                case '\f' -> quoted.append("\\f");
                case '\n' -> quoted.append("\\n");
                case '\r' -> quoted.append("\\r");
                case '\t' -> quoted.append("\\t");
                default -> {
                    if (c < 0x20) {
                        quoted.append(String.format("\\u%04x", (int) c));
                    } else {
                        quoted.append(c);
                    }
                }
            }
        }
        return quoted.append('"').toString();
    }
}
