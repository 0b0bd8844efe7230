import com.senacor.elasticsearch.evolution.core.ElasticsearchEvolution;
import java.util.List;
import org.apache.http.HttpHost;
import org.elasticsearch.client.RestClient;

/** Evolve URL FOLDER: the library as an application would use it. Prints how many scripts it has applied. */
public class Evolve {
  public static void main(String[] arguments) throws Exception {
    try (RestClient client = RestClient.builder(HttpHost.create(arguments[0])).build()) {
      ElasticsearchEvolution evolution =
          ElasticsearchEvolution.configure().setLocations(List.of("file:" + arguments[1])).load(client);
      System.out.println("applied " + evolution.migrate());
    }
  }
}
