//! Dense layers after the pooling, as in sentence-transformers.

use super::*;

/// A folder with dense modules, `(inputs, outputs, activation, bias)`, and the tensors of each.
fn folder_of(
    modules: &[(usize, usize, &str, bool)],
) -> (tempfile::TempDir, SentenceConfig, Vec<HashMap<String, Tensor>>) {
    let folder = tempfile::tempdir().unwrap();
    let mut list = vec![serde_json::json!({ "path": "1_Pooling", "type": "a.Pooling" })];
    let write = |name: &str, json: serde_json::Value| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, json.to_string()).unwrap();
    };
    write("1_Pooling/config.json", serde_json::json!({ "pooling_mode_mean_tokens": true }));
    let mut tensors = Vec::new();
    for (i, &(inputs, outputs, activation, bias)) in modules.iter().enumerate() {
        let path = format!("{}_Dense", i + 2);
        write(
            &format!("{path}/config.json"),
            serde_json::json!({ "in_features": inputs, "out_features": outputs, "bias": bias,
                "activation_function": format!("torch.nn.modules.{activation}") }),
        );
        let cpu = candle_core::Device::Cpu;
        let mut own = HashMap::new();
        let weight = Tensor::rand(-1.0_f32, 1.0, (outputs, inputs), &cpu).unwrap();
        own.insert("linear.weight".to_owned(), weight);
        if bias {
            let bias = Tensor::rand(-1.0_f32, 1.0, outputs, &cpu).unwrap();
            own.insert("linear.bias".to_owned(), bias);
        }
        let file = folder.path().join(&path).join("model.safetensors");
        candle_core::safetensors::save(&own, file).unwrap();
        list.push(serde_json::json!({ "path": path, "type": "a.Dense" }));
        tensors.push(own);
    }
    list.push(serde_json::json!({ "path": "9_Normalize", "type": "a.Normalize" }));
    write("modules.json", list.into());
    let config = SentenceConfig::read(folder.path()).unwrap();
    (folder, config, tensors)
}

#[test]
fn dense_modules_follow_the_pooling_and_the_length_comes_last() {
    let modules = [(6, 10, "linear.Identity", false), (10, 4, "activation.Tanh", true)];
    let (folder, config, tensors) = folder_of(&modules);
    let device = Device::cpu(2).unwrap();
    let pooler = Pooler::load(folder.path(), &config, 6, &device).unwrap();
    assert_eq!(pooler.dim(), 4);
    let values: Vec<f32> = (0..30).map(|i| (i as f32 * 0.37).sin()).collect();
    let ends = [0, 3, 5];
    let hidden = Matrix::new(values, 6).unwrap();
    let mut want = pool(&hidden, &ends, Pooling::Mean, false);
    let got = Matrix::new(pooler.apply_dense(want.as_slice().to_vec()), 4).unwrap();
    for own in &tensors {
        let weight = matrix(&own["linear.weight"]);
        let bias = own.get("linear.bias").map(|bias| bias.to_vec1::<f32>().unwrap());
        let mut next = Matrix::with_capacity(2, weight.n());
        for x in want.rows() {
            let dot = |row: &[f32]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
            let value = |(i, row): (usize, &[f32])| match &bias {
                Some(bias) => (dot(row) + bias[i]).tanh(),
                None => dot(row),
            };
            next.push_row(&weight.rows().enumerate().map(value).collect::<Vec<f32>>());
        }
        want = next;
    }
    for (got, want) in got.rows().zip(want.rows()) {
        let length = want.iter().map(|v| v * v).sum::<f32>().sqrt();
        let want: Vec<f32> = want.iter().map(|v| v / length).collect();
        assert!(worst(got, &want) < 1e-5, "{got:?} {want:?}");
    }
}

#[test]
fn a_dense_module_that_does_not_fit_is_refused() {
    let device = Device::cpu(1).unwrap();
    let error = |modules: &[(usize, usize, &str, bool)], hidden: usize| {
        let (folder, config, _) = folder_of(modules);
        Pooler::load(folder.path(), &config, hidden, &device).err().unwrap().to_string()
    };
    let narrow = error(&[(6, 4, "linear.Identity", false)], 8);
    assert!(narrow.contains("in_features is 6") && narrow.contains("8 outputs"), "{narrow}");
    let unknown = error(&[(6, 4, "activation.Mish", true)], 6);
    assert!(unknown.contains("Mish") && unknown.contains("Identity"), "{unknown}");
    let (folder, config, _) = folder_of(&[(6, 4, "linear.Identity", false)]);
    std::fs::remove_file(folder.path().join("2_Dense/model.safetensors")).unwrap();
    let missing = Pooler::load(folder.path(), &config, 6, &device).err().unwrap().to_string();
    assert!(missing.contains("model.safetensors"), "{missing}");
}
